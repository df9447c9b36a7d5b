// SPDX-License-Identifier: MIT OR Apache-2.0

//! The manual page and the shells' completions in `share/`, which are made of the command line's description.
//! `FLEXSC_BLESS=1 cargo test -p rsync-core share` makes them anew.

use crate::parser::parser;
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use std::fs;
use std::path::{Path, PathBuf};

/// What the manual page says beyond the options.
const MORE: &str = r#".SH "EXIT STATUS"
As rsync's: 0 all was done, 1 wrong usage, 3 a path cannot be used as it is meant, 4 rsync can do it and flexsync cannot yet,
11 the destination cannot be made, or a file that an option names cannot be read or
written, 20 it was stopped by a signal, 30 its time was over (\fB\-\-stop\-after\fR), 23 some files could not be dealt with, 24 some files
of the source have vanished meanwhile, 25 \fB\-\-max\-delete\fR has stopped deletions. What could not be dealt with is named
on the standard error, with its cause.
.SH JSON
With \fB\-\-json\fR each line of the standard output is an object. Its "event" says what it is about, "path" which file, below DST
except for failures; a name that is not UTF\-8 is in "path_hex" instead, as hexadecimal digits, and so are other names.
.TP
\fBitem\fR
Something was done about a file: "update" is transferred, made, linked or kept, "differences" is why (new, contents, size, time,
time_of_transfer, mode, owner, group, access_time, acl, xattrs), "itemized" is \fB\-i\fR's; with "kind", "size", "mode", "uid",
"gid", "mtime", "mtime_nsec", "sent", "received" and, where there are such, "target", "hard_link" and "digest".
.TP
\fBdeleted\fR, \fBleft_alone\fR, \fBskipped\fR, \fBunsafe_link\fR, \fBunsafe_link_followed\fR, \fBnot_empty\fR, \fBclearing\fR, \fBbacked_up\fR, \fBnot_linked\fR, \fBremoved_source\fR, \fBcleaned\fR, \fBmissing\fR, \fBmade_destination\fR, \fBmade_path\fR, \fBno_alternate\fR, \fBstand_in\fR
What the names say, with "directory", "rule", "reason", "to", "target", "made", "error" or, of a file that is the basis of a missing
one, "basis", "tree" and whether size and time are the "same".
.TP
\fBfailed\fR, \fBdeletion_suppressed\fR
Something failed for a file, with "message"; nothing is deleted for what could not be read.
.TP
\fBprogress\fR
With \fB\-\-progress\fR: "files" and "bytes" that were listed, and whether that is "complete"; "checked" files; bytes "kept" and "moved".
.TP
\fBend\fR
The last one: "exit_status", with "message" if nothing was done, else with the figures.
.SH ENVIRONMENT
.TP
\fBFLEXSC_BACKEND\fR
Who executes the system calls where \fB\-\-backend\fR does not say it.
.TP
\fBCVSIGNORE\fR, \fBHOME\fR
With \fB\-C\fR, as in rsync.
.TP
\fBRSYNC_PARTIAL_DIR\fR
The directory of \fB\-\-partial\fR where \fB\-\-partial\-dir\fR does not say it.
.TP
\fBTMPDIR\fR
Is not used: a file is written in the directory where it will be, under a name of its own, and gets its name when it is
complete. What a killed run has left the next one removes.
.SH EXAMPLES
.TP
flexsync \-a photos backup/
Make backup/photos like photos.
.TP
flexsync \-avn \-\-delete photos/ copy
Show what would make copy like photos.
.TP
flexsync \-a \-\-no\-W \-\-stats image disk/image
Write what has changed of a long file, and say how much that was.
.SH "SEE ALSO"
rsync(1), cp(1), flexsc(7), flexsc(4)
"#;

/// The files, by their names in `share/`.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let mut page = Vec::new();
    let man = Man::new(parser())
        .source("flexsync")
        .manual("User Commands");
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    man.render_synopsis_section(&mut page).unwrap();
    man.render_description_section(&mut page).unwrap();
    man.render_options_section(&mut page).unwrap();
    page.extend_from_slice(MORE.as_bytes());
    let completion = |shell| {
        let mut script = Vec::new();
        generate(shell, &mut parser(), "flexsync", &mut script);
        script
    };
    vec![
        ("flexsync.1", page),
        ("flexsync.bash", completion(Shell::Bash)),
        ("_flexsync", completion(Shell::Zsh)),
        ("flexsync.fish", completion(Shell::Fish)),
    ]
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("share")
        .join(name)
}

#[test]
fn manual_page_and_completions_are_those_of_the_command_line() {
    for (name, made) in files() {
        if std::env::var_os("FLEXSC_BLESS").is_some() {
            fs::write(path(name), &made).unwrap();
        }
        let kept = fs::read(path(name)).unwrap_or_default();
        assert!(
            kept == made,
            "share/{name}: FLEXSC_BLESS=1 cargo test -p rsync-core share makes it anew"
        );
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a synchronisation is to do, in rsync's terms.

use crate::chmod::Chmod;
use crate::filter::Filters;
use crate::idmap::IdMap;
use crate::list::{Attributes, Kind};
use crate::strong::{Algorithm, BlockSum};
use crate::xattrs::Origin;

/// The options of one synchronisation. Each is named and means what rsync's option of that name does.
///
/// # Examples
///
/// ```
/// use rsync_core::Options;
///
/// let mut options = Options::archive();
/// options.delete = true;
/// assert!(options.recursive && options.times && !options.dry_run);
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Descend into directories (`-r`).
    pub recursive: bool,
    /// Without [`recursive`](Self::recursive), make directories and do not descend into them (`-d`, `--dirs`).
    pub dirs: bool,
    /// Copy symbolic links as links (`-l`); else they are skipped.
    pub links: bool,
    /// Copy what symbolic links of the source point to (`-L`, `--copy-links`).
    pub copy_links: bool,
    /// Copy what symbolic links point to that lead out of the transfer (`--copy-unsafe-links`).
    pub copy_unsafe_links: bool,
    /// Copy directories that symbolic links point to (`-k`, `--copy-dirlinks`).
    pub copy_dirlinks: bool,
    /// Leave symbolic links out that lead out of the transfer (`--safe-links`).
    pub safe_links: bool,
    /// Take `/rsyncd-munged/` off the targets of symbolic links, which a receiver has put there (`--munge-links`).
    pub munge_links: bool,
    /// Take a symbolic link of the destination for the directory that it points to, where the source has a directory
    /// (`-K`, `--keep-dirlinks`): if that is below the destination, else it is an error.
    pub keep_dirlinks: bool,
    /// Make entries of the file list that are one file one file at the destination (`-H`, `--hard-links`). Directories are
    /// then read one after the other, so that it is the same in each run to which name others are linked.
    pub hard_links: bool,
    /// Copy devices as devices (`--devices`): only done for the superuser; else they are skipped.
    pub devices: bool,
    /// Copy named pipes and sockets as such (`--specials`); else they are skipped.
    pub specials: bool,
    /// Give files and directories the source's mode bits (`-p`).
    pub perms: bool,
    /// Changes of the source's mode bits (`--chmod`), which the destination gets as far as [`perms`](Self::perms) and the like
    /// say.
    pub chmod: Chmod,
    /// Without [`perms`](Self::perms), make a file that is there executable for whom it is readable, if the source's is for
    /// anybody, and for nobody if that is for nobody (`-E`, `--executability`).
    pub executability: bool,
    /// Give the source's times of modification (`-t`).
    pub times: bool,
    /// Give the source's times of last access, in whole seconds, to all but directories and symbolic links (`-U`, `--atimes`).
    pub atimes: bool,
    /// Read without changing times of last access (`--open-noatime`): files of others, which only the superuser may read so, are
    /// read as ever.
    pub open_noatime: bool,
    /// Give the source's access control lists (`-A`, `--acls`), those of directories for what is made in them included. They go with
    /// mode bits: without [`perms`](Self::perms) that is refused.
    pub acls: bool,
    /// Give the source's extended attributes (`-X`, `--xattrs`): for the superuser all but those of the system, for others those of
    /// users.
    pub xattrs: bool,
    /// With [`xattrs`](Self::xattrs), send those that rsync keeps things in, too (`-XX`).
    pub special_xattrs: bool,
    /// Give the source's group (`-g`): any for the superuser, else those one is a member of.
    pub group: bool,
    /// Give the source's owner (`-o`): only done for the superuser.
    pub owner: bool,
    /// What owners of the source become (`--usermap`, `--chown`), with [`owner`](Self::owner).
    pub usermap: IdMap,
    /// What groups of the source become (`--groupmap`, `--chown`), with [`group`](Self::group).
    pub groupmap: IdMap,
    /// Owners and groups have no names for [`usermap`](Self::usermap) and [`groupmap`](Self::groupmap) (`--numeric-ids`).
    /// They are always copied as numbers.
    pub numeric_ids: bool,
    /// Whether the receiving side does what only the superuser may (`--super`): give owners and any groups, make devices, keep
    /// extended attributes that are not those of users. `None` if it does so for the superuser.
    pub super_user: Option<bool>,
    /// On which sides attributes that only the superuser may set are kept in extended attributes (`--fake-super`). The receiving
    /// side then does all that the superuser may, whatever [`super_user`](Self::super_user) says.
    pub fake_super: FakeSuper,
    /// Change nothing, only say what would be done (`-n`).
    pub dry_run: bool,
    /// Leave files alone that are newer at the destination (`-u`).
    pub update: bool,
    /// Transfer files even if size and time agree (`-I`).
    pub ignore_times: bool,
    /// Take files of equal size for equal, whatever their times (`--size-only`).
    pub size_only: bool,
    /// Take times for equal that differ by at most so many whole seconds (`--modify-window`); a negative number compares
    /// nanoseconds, and so does `None`, where both sides have them.
    pub modify_window: Option<i64>,
    /// Make nothing that is not there yet (`--existing`).
    pub existing: bool,
    /// Leave everything alone that is there, directories aside (`--ignore-existing`).
    pub ignore_existing: bool,
    /// Leave longer files alone, bytes (`--max-size`).
    pub max_size: Option<u64>,
    /// Leave shorter files alone, bytes (`--min-size`).
    pub min_size: Option<u64>,
    /// What is done about other file systems below a source (`-x`, `--one-file-system`).
    pub mount_points: MountPoints,
    /// Compare files of equal size by their contents instead of their time (`-c`).
    pub checksum: bool,
    /// Transfer whole files (`-W`). rsync's default between local trees; `false` uses the delta algorithm.
    pub whole_file: bool,
    /// Whether whole files share blocks with their source, where it is on the same file system (`--reflink`).
    pub reflink: Reflink,
    /// The checksum that tells contents apart by [`checksum`](Self::checksum) (`--checksum-choice`, its second name).
    pub file_sum: Algorithm,
    /// The strong checksum of the delta algorithm (`--checksum-choice`, its first name).
    pub transfer_sum: Algorithm,
    /// What goes into the strong checksum of each block (`--checksum-seed`); 0 for nothing.
    pub checksum_seed: u32,
    /// The block length of the delta algorithm in bytes (`-B`); `None` chooses by size.
    pub block_size: Option<u32>,
    /// Delete what the destination's directories have and the source's do not (`--delete`). Nothing is deleted when a
    /// part of the source could not be read.
    pub delete: bool,
    /// When that is done.
    pub delete_when: DeleteWhen,
    /// Delete a directory with all that is in it where a file takes its place, without [`delete`](Self::delete) too
    /// (`--force`).
    pub force: bool,
    /// Delete even though a part of the source could not be read (`--ignore-errors`).
    pub ignore_errors: bool,
    /// Delete no more than so many files and directories (`--max-delete`). What stands in the way of something else
    /// counts only as far as it is the contents of a directory.
    pub max_delete: Option<u64>,
    /// With [`delete`](Self::delete), a filter rule that names no side does not protect from deletion
    /// (`--delete-excluded`).
    pub delete_excluded: bool,
    /// Which files take part (`--filter`, `--exclude`, `--include`, `-F`, `-C`).
    pub filters: Filters,
    /// Other trees to look for files in that are not at the destination, or not as they should be (`--link-dest`, `--copy-dest`,
    /// `--compare-dest`).
    pub alternates: Option<Alternates>,
    /// Where a file of the same size and time, or else of a similar name, is looked for as the basis of one that is missing
    /// (`-y`, `--fuzzy`). Without [`whole_file`](Self::whole_file); of a directory at most 65536 files are considered.
    pub fuzzy: Option<Fuzzy>,
    /// Leave the times of directories alone (`-O`, `--omit-dir-times`).
    pub omit_dir_times: bool,
    /// Leave the times of symbolic links alone (`-J`, `--omit-link-times`).
    pub omit_link_times: bool,
    /// Keep what is replaced or deleted (`-b`, `--backup`). Without a directory of its own the times of directories are left
    /// alone, and a filter rule after all others protects backups from deletion, unless
    /// [`delete_excluded`](Self::delete_excluded) is set.
    pub backup: Option<Backups>,
    /// Remove files of the source, directories aside, once the destination has them (`--remove-source-files`).
    pub remove_source_files: bool,
    /// Leave sources out that do not exist (`--ignore-missing-args`).
    pub ignore_missing_args: bool,
    /// Delete at the destination what sources name that do not exist (`--delete-missing-args`). A directory goes only if it
    /// is empty, or with [`delete`](Self::delete) or [`force`](Self::force).
    pub delete_missing_args: bool,
    /// The whole path of a source is its path in the transfer, or what follows `/./` in it (`-R`, `--relative`).
    pub relative: bool,
    /// With [`relative`](Self::relative), leave the attributes of directories alone that only lead to a source, and follow
    /// symbolic links to such directories within the destination (`--no-implied-dirs`).
    pub no_implied_dirs: bool,
    /// A file of names, divided at line ends or, with [`from0`](Self::from0), NUL bytes, which are what is copied of the
    /// only source (`--files-from`); `-` is the standard input. For rsync's defaults set [`relative`](Self::relative) and
    /// [`dirs`](Self::dirs) too.
    pub files_from: Option<Vec<u8>>,
    /// Leave directories out that have nothing but directories in them, unless a filter rule protects them
    /// (`-m`, `--prune-empty-dirs`). Memory then grows with the file list.
    pub prune_empty_dirs: bool,
    /// Make what is missing of the destination's path (`--mkpath`).
    pub mkpath: bool,
    /// Keep what has come of a file whose transfer ends early, in the place of the file (`--partial`), its time of modification
    /// being that of 1970.
    pub partial: bool,
    /// Keep such files in this directory instead, and make use of them the next time (`--partial-dir`). One that does not begin
    /// with a slash is in each file's directory, made and removed as needed, and is neither sent nor deleted.
    pub partial_dir: Option<Vec<u8>>,
    /// Write changes into the files themselves (`--inplace`): no second copy of a file is made, other names of it change with it,
    /// and one whose transfer ends early is neither the old one nor the new.
    pub inplace: bool,
    /// Leave holes where a file has zeros, also in files that are written in place (`-S`, `--sparse`).
    pub sparse: bool,
    /// Have room for all of a file on the disk before it is written, if the file system can (`--preallocate`).
    pub preallocate: bool,
    /// Only append what a longer source has more, to the files themselves, and leave others alone that are there
    /// (`--append`, `--append-verify`).
    pub append: Option<Append>,
    /// Put all files in their places at the end; until then they are in [`partial_dir`](Self::partial_dir), which is then one
    /// of each directory's own, else in `.~tmp~` (`--delay-updates`).
    pub delay_updates: bool,
    /// Make temporary files in this directory, below the destination unless it begins with a slash (`--temp-dir`). If that is
    /// on another file system, each file is copied from there before it gets its name.
    pub temp_dir: Option<Vec<u8>>,
    /// Have each file on the disk before it gets its name (`--fsync`).
    pub fsync: bool,
    /// Files of filter rules and of names are divided at NUL bytes instead of line ends (`-0`, `--from0`), but for those that
    /// [`Filters::by_lines`](crate::filter::Filters::by_lines) is said of.
    pub from0: bool,
    /// Send no more than so many bytes a second, on average (`--bwlimit`); 0 for no limit.
    pub bandwidth: Option<u64>,
    /// Tell of files, too, about which nothing was to be done.
    pub unchanged: bool,
    /// Compute the checksum of each file that is transferred, for [`Item::digest`](crate::Item::digest): by
    /// [`transfer_sum`](Self::transfer_sum), unless [`checksum`](Self::checksum) has one of each file anyway.
    pub digests: bool,
    /// Tell what the delta algorithm finds: [`Event::Searched`](crate::Event::Searched).
    pub searches: bool,
    /// Tell what a filter rule leaves out: [`Event::Hidden`](crate::Event::Hidden).
    pub hidden: bool,
    /// How many threads may search a long file at once for blocks of its old version and, where calls are plain ones, read that.
    /// No more than one where this is 0 or 1. Calls of those that read are counted by [`Sync::run_apart`](crate::Sync::run_apart) only.
    pub threads: usize,
    /// Tell how far it has come: [`Event::Progress`](crate::Event::Progress).
    pub progress: bool,
    /// Tell where in the source each file is: [`Item::origin`](crate::Item::origin).
    pub origins: bool,
    /// On whose behalf it is done.
    pub identity: Identity,
}

impl Options {
    /// What `-a` sets: `-rlptgoD`, and whole files.
    pub fn archive() -> Self {
        Self {
            recursive: true,
            links: true,
            perms: true,
            times: true,
            group: true,
            owner: true,
            devices: true,
            specials: true,
            whole_file: true,
            ..Self::default()
        }
    }
}

/// When the destination loses what the source does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeleteWhen {
    /// While files are transferred, in each directory when its turn comes (`--delete-during`, `--del`). The sender has then
    /// listed at least a thousand files more: what cannot be read among those stops it, and so does all that comes
    /// later. It is the same as [`Delay`](Self::Delay) where what would be deleted may yet be of use: with
    /// [`keep_dirlinks`](Options::keep_dirlinks) and [`no_implied_dirs`](Options::no_implied_dirs), since a symbolic link may lead to
    /// it, with [`backup`](Options::backup), [`alternates`](Options::alternates), [`temp_dir`](Options::temp_dir), and a
    /// [`partial_dir`](Options::partial_dir) that begins with a slash, since all of those may be in the destination, and with
    /// [`fuzzy`](Options::fuzzy), since it may stand in for something.
    During,
    /// Before anything is transferred (`--delete-before`). Memory then grows with the file list.
    Before,
    /// After all transfers, of what was there when each directory's turn came (`--delete-delay`). As with
    /// [`Before`](Self::Before) and [`After`](Self::After), nothing is deleted when any of the source could not be read.
    #[default]
    Delay,
    /// After all transfers, of what is there then; files of filter rules that were transferred count (`--delete-after`). Memory
    /// then grows with the file list. A file that could not be read prevents it, too.
    After,
}

/// Other trees to look for files in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternates {
    /// What is done with a file that is found there.
    pub kind: Alternate,
    /// The trees, in the order in which they are looked at: below the destination unless they begin with a slash.
    pub dirs: Vec<Vec<u8>>,
}

/// What is done with a file of another tree that is just as wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alternate {
    /// The destination gets a hard link to it (`--link-dest`), also in place of one that is there.
    Link,
    /// The destination gets a copy of it, if it has none (`--copy-dest`).
    Copy,
    /// The destination does not have it (`--compare-dest`).
    Compare,
}

/// Whether a copy shares blocks with what it is a copy of, until one of them is written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reflink {
    /// Where the file system can and likes to: the kernel copies (`copy_file_range(2)`), or what cannot be copied so is read and
    /// written.
    #[default]
    Auto,
    /// A file that cannot share all blocks is a failure, and the old one stays (`FICLONE`). It takes
    /// [`whole_file`](Options::whole_file).
    Always,
    /// Files are read and written.
    Never,
}

/// The sides whose files have what only the superuser may set in extended attributes: owners, devices, set-user-ID bits, access
/// control lists. Devices, named pipes, sockets and symbolic links are regular files there. It is stored as rsync does, and
/// each of both reads what the other has kept.
///
/// # Examples
///
/// ```
/// use rsync_core::{FakeSuper, Options};
///
/// // A backup by somebody who may not give files away.
/// let mut backup = Options::archive();
/// backup.fake_super.destination = true;
/// // The superuser brings it back.
/// let mut restore = Options::archive();
/// restore.fake_super = FakeSuper { source: true, destination: false };
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FakeSuper {
    /// What was kept so is read.
    pub source: bool,
    /// It is kept so.
    pub destination: bool,
}

/// Where something is looked for that is like a missing file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fuzzy {
    /// In its directory of the destination.
    Destination,
    /// There and in the directories of [`alternates`](Options::alternates) that stand for it (`-yy`).
    Everywhere,
}

/// What is done about the part of a growing file that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Append {
    /// It is taken to be the beginning of the source's (`--append`).
    Trust,
    /// It is compared by a checksum, and the file is transferred anew if it differs (`--append-verify`).
    Verify,
}

/// Where the old versions of files are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backups {
    /// The directory (`--backup-dir`), made where it is missing: below the destination unless it begins with a slash. Without
    /// one, backups are beside the files.
    pub dir: Option<Vec<u8>>,
    /// What is appended to names (`--suffix`): no slash, and something unless there is a directory.
    pub suffix: Vec<u8>,
}

impl Options {
    /// Whether something of this kind is copied, directories aside.
    pub(crate) fn copies(&self, kind: Kind) -> bool {
        match kind {
            Kind::Regular => true,
            Kind::Symlink => self.links,
            Kind::CharDevice | Kind::BlockDevice => self.devices && self.acts_as_root(),
            Kind::Fifo | Kind::Socket => self.specials,
            Kind::Directory | Kind::Other => false,
        }
    }

    /// Whether what only the superuser may do is tried.
    pub(crate) fn acts_as_root(&self) -> bool {
        self.fake_super.destination || self.is_super()
    }

    /// Whether a side that fakes nothing is the superuser's.
    pub(crate) fn is_super(&self) -> bool {
        self.super_user.unwrap_or_else(|| self.identity.is_root())
    }

    /// Whether a side's files may stand for others.
    pub(crate) fn fakes(&self, origin: Origin) -> bool {
        match origin {
            Origin::Source => self.fake_super.source,
            Origin::Destination => self.fake_super.destination,
        }
    }

    /// Whether files are given to `group`, if it is to be kept.
    pub(crate) fn gives(&self, group: u32) -> bool {
        self.acts_as_root() || self.identity.is_member(group)
    }

    /// Whether a file may have other names in the file list which are to be names of it at the destination, too.
    pub(crate) fn groups(&self, file: &Attributes) -> bool {
        self.hard_links && file.links > 1 && self.copies(file.kind)
    }

    /// The attributes that a file of the source is sent with.
    pub(crate) fn as_sent(&self, file: Attributes) -> Attributes {
        Attributes {
            mode: self.chmod.apply(file.kind, file.mode),
            ..file
        }
    }

    /// When something is deleted, if anything is.
    pub(crate) fn deletes(&self) -> Option<DeleteWhen> {
        let holding = self.holding_dir();
        let in_use = self.keep_dirlinks
            || self.no_implied_dirs
            || self.backup.is_some()
            || self.alternates.is_some()
            || self.fuzzy.is_some()
            || self.temp_dir.is_some()
            || holding.is_some_and(|dir| dir.starts_with(b"/"));
        let when = match self.delete_when {
            DeleteWhen::During if in_use => DeleteWhen::Delay,
            when => when,
        };
        self.delete.then_some(when)
    }

    /// Whether the sender reads the whole source before anything is done.
    pub(crate) fn lists_first(&self) -> bool {
        self.deletes() == Some(DeleteWhen::Before)
    }

    /// How the blocks of a basis are summed up.
    pub(crate) fn block_sum(&self) -> BlockSum {
        BlockSum::new(self.transfer_sum, self.checksum_seed)
    }

    /// Whether some symbolic links of the source are followed.
    pub(crate) fn follows_links(&self) -> bool {
        self.copy_links || self.copy_unsafe_links || self.copy_dirlinks
    }

    /// Whether files are written in their own places.
    pub(crate) fn in_place(&self) -> bool {
        self.inplace || self.append.is_some()
    }

    /// Whether the checksum of a whole file is asked for that nobody has computed yet.
    pub(crate) fn sums_whole_files(&self) -> bool {
        self.digests && !self.checksum && self.append.is_none()
    }

    /// The mode that a directory is made with. Until its access control list is set only the owner may do anything.
    pub(crate) fn first_mode(&self, want: &Attributes) -> u32 {
        want.mode & if self.acls { 0o700 } else { 0o777 }
    }

    /// Whether something goes that makes way or is deleted, also after a source could not be looked at: it has to be known where
    /// all of them are.
    pub(crate) fn may_hit_unknown(&self) -> bool {
        let after_errors = self.ignore_errors || self.delete_missing_args;
        self.force || self.delete && after_errors
    }

    /// Whether extended attributes are kept, of which access control lists are some.
    pub(crate) fn keeps_xattrs(&self) -> bool {
        self.xattrs || self.acls
    }

    /// Options of which one excludes the other.
    pub(crate) fn conflict(&self) -> Option<(&'static str, &'static str)> {
        // Files of different directories that have the same name would wait in each other's place.
        let common = self.holding_dir().is_some() && self.own_holding_dir().is_none();
        if self.delay_updates && common {
            return Some((
                "--delay-updates",
                "a --partial-dir that is an absolute path",
            ));
        }
        // What the group may do would be more than both say.
        if self.acls && !self.perms {
            return Some(("--acls", "--no-perms"));
        }
        // What is kept would be sent twice.
        if self.special_xattrs && self.fake_super != FakeSuper::default() {
            return Some(("--fake-super", "-XX"));
        }
        if self.reflink == Reflink::Always {
            let others = [
                (!self.whole_file, "--no-whole-file"),
                (self.append.is_some(), "--append"),
                (self.inplace, "--inplace"),
                // Nobody reads what is cloned.
                (self.sums_whole_files(), "%C"),
            ];
            if let Some((_, other)) = others.into_iter().find(|(given, _)| *given) {
                return Some(("--reflink=always", other));
            }
        }
        let one = match self.append {
            Some(_) => "--append",
            None if self.inplace => "--inplace",
            None => return None,
        };
        if self.partial_dir.is_some() {
            return Some((one, "--partial-dir"));
        }
        self.delay_updates.then_some((one, "--delay-updates"))
    }

    /// Whether what has come of a file is kept when its transfer ends early.
    pub(crate) fn keeps_partial(&self) -> bool {
        self.partial || self.holding_dir().is_some()
    }

    /// The directory for files that are not complete, or wait for the end.
    pub(crate) fn holding_dir(&self) -> Option<&[u8]> {
        let default = self.delay_updates.then_some(&b".~tmp~"[..]);
        self.partial_dir.as_deref().or(default)
    }

    /// As [`holding_dir`](Self::holding_dir), if each directory has its own.
    pub(crate) fn own_holding_dir(&self) -> Option<&[u8]> {
        self.holding_dir().filter(|dir| !dir.starts_with(b"/"))
    }

    /// Whether the times of directories are to be kept.
    pub(crate) fn directory_times(&self) -> bool {
        let beside = self
            .backup
            .as_ref()
            .is_some_and(|backups| backups.dir.is_none());
        self.times && !self.omit_dir_times && !beside
    }

    /// Whether times of last access are to be kept of such files.
    pub(crate) fn access_times(&self, kind: Kind) -> bool {
        self.atimes && !matches!(kind, Kind::Directory | Kind::Symlink)
    }

    /// Whether the times of symbolic links are to be kept.
    pub(crate) fn link_times(&self) -> bool {
        self.times && !self.omit_link_times
    }
}

/// What is done about a directory that another file system is mounted on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MountPoints {
    /// It is a directory like any other.
    #[default]
    Cross,
    /// It is made at the destination, and nothing in it is transferred or deleted (`-x`).
    Stop,
    /// It is left out (`-xx`).
    Omit,
}

/// The credentials that decide which owners and groups may be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The effective user.
    pub uid: u32,
    /// The effective group.
    pub gid: u32,
    /// The supplementary groups.
    pub groups: Vec<u32>,
}

impl Identity {
    /// Those of this process.
    pub fn current() -> Self {
        let groups = rustix::process::getgroups().unwrap_or_default();
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            groups: groups
                .into_iter()
                .map(rustix::process::Gid::as_raw)
                .collect(),
        }
    }

    /// Whether this is the superuser.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Whether files may be given to `group`.
    pub fn may_give(&self, group: u32) -> bool {
        self.is_root() || self.is_member(group)
    }

    fn is_member(&self, group: u32) -> bool {
        self.gid == group || self.groups.contains(&group)
    }
}

impl Default for Identity {
    /// [`Identity::current`].
    fn default() -> Self {
        Self::current()
    }
}

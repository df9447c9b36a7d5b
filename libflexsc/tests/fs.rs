// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files for futures do what the standard library's do.
#![cfg(not(loom))]

#[macro_use]
mod common;

use std::{
    collections::BTreeSet,
    io::{self, ErrorKind, SeekFrom},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    time::SystemTime,
};

use common::{Dir, context, open_files};
use libflexsc::{
    FileType, Handle,
    backend::Kind,
    fs::{self, File, OpenOptions},
    task::block_on,
};

each_backend!(
    whole_files,
    copies,
    file_at_offsets,
    file_at_its_position,
    vectored_at_offsets,
    attributes_as_the_standard_library_has_them,
    names_of_a_directory,
    names_are_made_and_moved,
    directories_with_their_parents,
    errors_as_the_standard_library_has_them,
    closed_file_is_closed,
    codecs_read_write_and_seek,
    codecs_are_told_what_failed,
);

/// Random steps through futures' traits, and the same on a vector.
fn codecs_read_write_and_seek(kind: Kind) {
    use futures_lite::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
    run(kind, async |handle, dir| {
        let open = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .clone();
        let mut file = fs::AsyncIo::new(open.open(handle, dir.join("file")).await?);
        let mut model = io::Cursor::new(Vec::new());
        let mut state = 12345_u64;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        for step in 0..300 {
            let len = if random(10) == 0 {
                200_000
            } else {
                random(500)
            } as usize;
            match random(4) {
                0 => {
                    let bytes = vec![step as u8; len];
                    file.write_all(&bytes).await?;
                    io::Write::write_all(&mut model, &bytes)?;
                }
                1 | 2 => {
                    let (mut bytes, mut want) = (vec![0; len], vec![0; len]);
                    let mut got = 0;
                    while got < len {
                        match file.read(&mut bytes[got..]).await? {
                            0 => break,
                            count => got += count,
                        }
                    }
                    let count = io::Read::read(&mut model, &mut want)?;
                    assert_eq!((got, &bytes[..got]), (count, &want[..count]), "step {step}");
                }
                _ => {
                    let size = model.get_ref().len() as i64;
                    let to = match random(3) {
                        0 => SeekFrom::Start(random(size as u64 + 10)),
                        1 => SeekFrom::Current(random(2000) as i64 - 1000),
                        _ => SeekFrom::End(-(random(size as u64 + 10) as i64)),
                    };
                    let (is, want) = (file.seek(to).await, io::Seek::seek(&mut model, to));
                    assert_eq!(
                        is.map_err(|_| ()),
                        want.map_err(|_| ()),
                        "step {step}: {to:?}"
                    );
                }
            }
        }
        file.close().await?;
        assert!(std::fs::read(dir.join("file"))? == *model.get_ref());
        // The file's own position was never used.
        assert_eq!(file.get_ref().seek(SeekFrom::Current(0)).await?, 0);
        Ok(())
    });
}

fn codecs_are_told_what_failed(kind: Kind) {
    use futures_lite::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
    run(kind, async |handle, dir| {
        dir.write("file", "text");
        let mut file = fs::AsyncIo::new(File::open(handle, dir.join("file")).await?);
        // Not open for writing: the write is in the buffer, and what follows tells.
        file.write_all(b"more").await?;
        let error = file.flush().await.err();
        assert_eq!(
            error.and_then(|error| error.raw_os_error()),
            Some(libc::EBADF)
        );
        file.seek(SeekFrom::Start(1)).await?;
        let mut text = String::new();
        file.read_to_string(&mut text).await?;
        assert_eq!(text, "ext");
        let error = file.seek(SeekFrom::Current(-5)).await.err();
        assert_eq!(
            error.and_then(|error| error.raw_os_error()),
            Some(libc::EINVAL)
        );
        Ok(())
    });
}

fn run<T>(kind: Kind, future: impl AsyncFnOnce(&Handle, &Dir) -> io::Result<T>) -> T {
    let (handle, dir) = (Handle::new(context(kind)), Dir::new());
    block_on(&handle, future(&handle, &dir)).unwrap()
}

fn kind_of<T>(result: io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

fn whole_files(kind: Kind) {
    run(kind, async |handle, dir| {
        for len in [0, 1, 4095, 4096, 4097, 300_000] {
            let content: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let path = dir.join("file");
            let (result, content) = fs::write(handle, &path, content).await;
            result?;
            assert!(std::fs::read(&path)? == content);
            assert!(fs::read(handle, &path).await? == content);
        }
        fs::write(handle, dir.join("text"), &b"text"[..]).await.0?;
        assert_eq!(fs::read_to_string(handle, dir.join("text")).await?, "text");
        fs::write(handle, dir.join("text"), &b"\xff"[..]).await.0?;
        let error = fs::read_to_string(handle, dir.join("text")).await;
        assert!(
            !format!("{error:?}").contains("255"),
            "it shows the content"
        );
        assert_eq!(kind_of(error), Some(ErrorKind::InvalidData));
        // Tells no size.
        let status = fs::read_to_string(handle, "/proc/self/status").await?;
        assert!(status.contains("VmSize"));
        Ok(())
    });
}

fn copies(kind: Kind) {
    run(kind, async |handle, dir| {
        let (from, to) = (dir.join("from"), dir.join("to"));
        let content = vec![7; 3_000_000];
        std::fs::write(&from, &content)?;
        std::fs::set_permissions(&from, std::fs::Permissions::from_mode(0o741))?;
        std::fs::write(&to, vec![1; 4_000_000])?;
        assert_eq!(fs::copy(handle, &from, &to).await?, 3_000_000);
        assert!(std::fs::read(&to)? == content);
        assert_eq!(to.metadata()?.mode() & 0o7777, 0o741);
        std::fs::write(&from, b"")?;
        assert_eq!(fs::copy(handle, &from, &to).await?, 0);
        assert_eq!(to.metadata()?.len(), 0);
        let count = fs::copy(handle, "/proc/self/comm", &to).await?;
        assert_eq!(std::fs::read(&to)?.len() as u64, count);
        assert!(count > 0);
        let error = fs::copy(handle, dir.path(), &to).await;
        assert_eq!(kind_of(error), Some(ErrorKind::InvalidInput));
        Ok(())
    });
}

fn file_at_offsets(kind: Kind) {
    run(kind, async |handle, dir| {
        let path = dir.join("file");
        let file = File::create(handle, &path).await?;
        let (result, buf) = file.read_at(vec![7; 2], 0).await;
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EBADF));
        assert_eq!(buf, [7, 7]);
        file.write_all_at(b"0123456789".to_vec(), 5).await.0?;
        let (count, buf) = file.write_at(b"ab".to_vec(), 1).await;
        assert_eq!((count?, buf), (2, b"ab".to_vec()));
        assert_eq!(std::fs::read(&path)?, b"\0ab\0\x000123456789");
        file.sync_data().await?;
        file.sync_all().await?;
        file.set_len(8).await?;
        file.fallocate(0, 0, 10).await?;
        let file = File::open(handle, &path).await?;
        let (count, buf) = file.read_at(vec![0; 20], 5).await;
        assert_eq!((count?, &buf[..5]), (5, &b"012\0\0"[..]));
        let (result, buf) = file.read_exact_at(vec![0; 4], 1).await;
        result?;
        assert_eq!(buf, b"ab\0\0");
        let error = file.read_exact_at(vec![0; 4], 8).await.0;
        assert_eq!(kind_of(error), Some(ErrorKind::UnexpectedEof));
        assert_eq!(file.metadata().await?.len(), 10);
        Ok(())
    });
}

fn file_at_its_position(kind: Kind) {
    run(kind, async |handle, dir| {
        let path = dir.join("file");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(handle, &path).await?;
        let again = options.open(handle, &path).await;
        assert_eq!(kind_of(again), Some(ErrorKind::AlreadyExists));
        assert_eq!(path.metadata()?.mode() & 0o777, 0o600);
        file.write_all(b"0123456789".to_vec()).await.0?;
        assert_eq!(file.seek(SeekFrom::Current(-4)).await?, 6);
        let (count, buf) = file.read(vec![0; 9]).await;
        assert_eq!((count?, &buf[..4]), (4, &b"6789"[..]));
        assert_eq!(file.seek(SeekFrom::End(-1)).await?, 9);
        assert_eq!(file.seek(SeekFrom::Start(2)).await?, 2);
        assert_eq!(file.write(b"xy".to_vec()).await.0?, 2);
        let end = OpenOptions::new().append(true).open(handle, &path).await?;
        end.write_all(b"end".to_vec()).await.0?;
        assert_eq!(std::fs::read(&path)?, b"01xy456789end");
        Ok(())
    });
}

fn vectored_at_offsets(kind: Kind) {
    run(kind, async |handle, dir| {
        let file = File::create(handle, dir.join("file")).await?;
        let bufs = vec![b"one".to_vec(), b"two".to_vec()];
        let (count, bufs) = file.writev_at(bufs, 1).await;
        assert_eq!((count?, bufs.len()), (6, 2));
        let file = File::from_std(handle, std::fs::File::open(dir.join("file"))?);
        let (count, bufs) = file.readv_at(vec![vec![9; 2], vec![9; 9]], 2).await;
        assert_eq!(count?, 5);
        assert_eq!(bufs, [b"ne".to_vec(), b"two\t\t\t\t\t\t".to_vec()]);
        Ok(())
    });
}

fn attributes_as_the_standard_library_has_them(kind: Kind) {
    run(kind, async |handle, dir| {
        dir.write("file", b"some bytes");
        std::os::unix::fs::symlink("file", dir.join("link"))?;
        for name in ["file", "link", ""] {
            let path = dir.join(name);
            let pairs = [
                (fs::metadata(handle, &path).await?, path.metadata()?),
                (
                    fs::symlink_metadata(handle, &path).await?,
                    path.symlink_metadata()?,
                ),
            ];
            for (ours, theirs) in pairs {
                assert_eq!(ours.len(), theirs.len());
                assert_eq!(ours.is_dir(), theirs.is_dir());
                assert_eq!(ours.is_file(), theirs.is_file());
                assert_eq!(ours.is_symlink(), theirs.is_symlink());
                assert_eq!(ours.permissions(), theirs.permissions());
                assert_eq!(ours.modified(), theirs.modified()?);
                assert_eq!(ours.created().ok(), theirs.created().ok());
                assert_eq!(ours.statx().ino(), theirs.ino());
                assert!(ours.accessed() > SystemTime::UNIX_EPOCH);
            }
        }
        let read_only = std::fs::Permissions::from_mode(0o444);
        fs::set_permissions(handle, dir.join("link"), read_only.clone()).await?;
        assert_eq!(dir.join("file").metadata()?.mode() & 0o7777, 0o444);
        let file = File::open(handle, dir.join("file")).await?;
        let all = std::fs::Permissions::from_mode(0o640);
        file.set_permissions(all).await?;
        assert_eq!(dir.join("file").metadata()?.mode() & 0o7777, 0o640);
        Ok(())
    });
}

fn names_of_a_directory(kind: Kind) {
    run(kind, async |handle, dir| {
        assert!(
            fs::read_dir(handle, dir.path())
                .await?
                .next()
                .await?
                .is_none()
        );
        // More than one call brings.
        let expected: BTreeSet<String> = (0..3000).map(|i| format!("a-long-name-{i}")).collect();
        for name in &expected {
            dir.write(name, b"");
        }
        let mut names = fs::read_dir(handle, dir.path()).await?;
        let mut seen = BTreeSet::new();
        while let Some(entry) = names.next().await? {
            assert_eq!(entry.path(), dir.path().join(entry.file_name()));
            assert_eq!(entry.file_type().await?, FileType::Regular);
            seen.insert(entry.file_name().to_str().unwrap().to_owned());
        }
        assert_eq!(seen, expected);
        let mut names = fs::read_dir(handle, dir.path()).await?;
        let (mut total, mut batches) = (0, 0);
        loop {
            let batch = names.next_batch().await?;
            if batch.is_empty() {
                break;
            }
            let first = &batch[0];
            let known = first.path().symlink_metadata()?.ino();
            assert_eq!(first.metadata().await?.statx().ino(), known);
            assert_eq!(first.ino(), known);
            total += batch.len();
            batches += 1;
        }
        assert_eq!(total, expected.len());
        assert!(batches > 1);
        assert!(names.next().await?.is_none());
        dir.write("file", b"");
        let error = fs::read_dir(handle, dir.join("file")).await;
        assert_eq!(kind_of(error), Some(ErrorKind::NotADirectory));
        Ok(())
    });
}

fn names_are_made_and_moved(kind: Kind) {
    run(kind, async |handle, dir| {
        let at = |name: &str| dir.join(name);
        fs::create_dir(handle, at("dir")).await?;
        fs::write(handle, at("dir/file"), b"x".to_vec()).await.0?;
        fs::hard_link(handle, at("dir/file"), at("other")).await?;
        assert_eq!(at("other").metadata()?.nlink(), 2);
        fs::symlink(handle, "dir/file", at("link")).await?;
        assert_eq!(
            fs::read_link(handle, at("link")).await?,
            Path::new("dir/file")
        );
        fs::rename(handle, at("other"), at("dir/renamed")).await?;
        assert!(!fs::try_exists(handle, at("other")).await?);
        assert!(fs::try_exists(handle, at("dir/renamed")).await?);
        let error = fs::remove_dir(handle, at("dir")).await;
        assert_eq!(kind_of(error), Some(ErrorKind::DirectoryNotEmpty));
        for name in ["dir/file", "dir/renamed", "link"] {
            fs::remove_file(handle, at(name)).await?;
        }
        fs::remove_dir(handle, at("dir")).await?;
        assert_eq!(std::fs::read_dir(dir.path())?.count(), 0);
        Ok(())
    });
}

fn directories_with_their_parents(kind: Kind) {
    run(kind, async |handle, dir| {
        fs::create_dir_all(handle, dir.join("a/b/c")).await?;
        fs::create_dir_all(handle, dir.join("a/b/c")).await?;
        assert!(dir.join("a/b/c").is_dir());
        dir.write("file", b"");
        let error = fs::create_dir_all(handle, dir.join("file")).await;
        assert_eq!(kind_of(error), Some(ErrorKind::AlreadyExists));
        let error = fs::create_dir_all(handle, dir.join("file/below")).await;
        assert_eq!(kind_of(error), Some(ErrorKind::NotADirectory));
        Ok(())
    });
}

fn errors_as_the_standard_library_has_them(kind: Kind) {
    run(kind, async |handle, dir| {
        let missing = dir.join("missing/file");
        let theirs = |result: io::Result<()>| result.unwrap_err().raw_os_error();
        let ours = |result: io::Result<()>| result.unwrap_err().raw_os_error();
        let expected = theirs(std::fs::File::open(&missing).map(|_| ()));
        let errors = [
            ours(File::open(handle, &missing).await.map(|_| ())),
            ours(fs::metadata(handle, &missing).await.map(|_| ())),
            ours(fs::remove_file(handle, &missing).await),
            ours(fs::create_dir(handle, &missing).await),
            ours(fs::read_link(handle, &missing).await.map(|_| ())),
            ours(fs::read(handle, &missing).await.map(|_| ())),
            ours(fs::write(handle, &missing, Vec::new()).await.0),
        ];
        assert_eq!(errors, [expected; 7]);
        let nul = fs::metadata(handle, "a\0b").await.unwrap_err();
        assert_eq!(nul.kind(), ErrorKind::InvalidInput);
        assert!(nul.to_string().contains("NUL"));
        Ok(())
    });
}

fn closed_file_is_closed(kind: Kind) {
    run(kind, async |handle, dir| {
        let path = dir.join("file");
        let file = File::create(handle, &path).await?;
        let share = file.clone();
        assert_eq!(open_files(&path), 1);
        file.close().await?;
        assert_eq!(open_files(&path), 1, "the other share");
        share.close().await?;
        assert_eq!(open_files(&path), 0);
        Ok(())
    });
}

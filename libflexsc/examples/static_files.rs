// SPDX-License-Identifier: MIT OR Apache-2.0
//! Serves the files below a directory by HTTP/1.0, each connection a task:
//!
//! ```text
//! cargo run --release --example static_files -- DIRECTORY [ADDRESS [REQUESTS]]
//! ```
//!
//! Expect `http://127.0.0.1:PORT/`, where a browser or curl then gets the files; with REQUESTS it
//! ends after as many. Paths are looked up below the directory only (`openat2` with `RESOLVE_BENEATH`):
//! `/../` and links that lead out get a 404.

use std::{env, ffi::CString, io, net::SocketAddr, process::ExitCode};

use libflexsc::{
    At, Handle, IoBuf, SharedFd,
    backend::Kind,
    net::{TcpListener, TcpStream},
    op::{Fstat, OpenHow, Openat, Openat2, Pread},
    task::block_on,
};

/// How much of a file is read at a time, bytes.
const CHUNK: usize = 128 * 1024;

/// The path that a request asks for, relative to the directory.
fn path_of(request: &[u8]) -> Option<CString> {
    let line = request.split(|&byte| byte == b'\r').next()?;
    let path = line
        .strip_prefix(b"GET /")?
        .split(|&byte| byte == b' ')
        .next()?;
    CString::new(if path.is_empty() { &b"."[..] } else { path }).ok()
}

async fn serve(handle: &Handle, directory: &SharedFd, stream: &TcpStream) -> io::Result<()> {
    let (result, request) = stream.read(vec![0; 4096]).await;
    let request = &request[..result?];
    let Some(path) = path_of(request) else {
        return answer(stream, "400 Bad Request", "only GET\n").await;
    };
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK;
    let how = OpenHow::new(flags as u64).resolve(libc::RESOLVE_BENEATH);
    let file = match handle.submit(Openat2::new(directory, path, how)).await {
        Ok(file) => file,
        Err(errno) => return answer(stream, "404 Not Found", &format!("{errno}\n")).await,
    };
    let stat = handle.submit(Fstat::new(&file)).await?;
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
        return answer(stream, "403 Forbidden", "not a regular file\n").await;
    }
    let size = stat.st_size as u64;
    let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {size}\r\n\r\n");
    stream.write_all(head.into_bytes()).await.0?;
    let (mut buf, mut offset) = (vec![0; CHUNK], 0);
    while offset < size {
        let (count, back) = handle.submit(Pread::new(&file, buf, offset)).await;
        let count = count?;
        if count == 0 {
            // It became shorter: the client sees that something is missing.
            break;
        }
        let (result, back) = stream.write_all(back.slice(..count)).await;
        result?;
        buf = back.into_inner();
        offset += count as u64;
    }
    Ok(())
}

async fn answer(stream: &TcpStream, status: &str, text: &str) -> io::Result<()> {
    let len = text.len();
    let answer = format!("HTTP/1.0 {status}\r\nContent-Length: {len}\r\n\r\n{text}");
    stream.write_all(answer.into_bytes()).await.0
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = env::args().skip(1);
    let usage = "usage: static_files DIRECTORY [ADDRESS [REQUESTS]]";
    let directory = CString::new(arguments.next().ok_or(usage)?)?;
    let address: SocketAddr = arguments
        .next()
        .as_deref()
        .unwrap_or("127.0.0.1:0")
        .parse()?;
    let mut requests = arguments
        .next()
        .map(|count| count.parse::<u64>())
        .transpose()?;
    let handle = Handle::auto()?;
    if handle.choice().kind == Kind::Direct {
        eprintln!("static_files: plain calls, so one connection after the other");
    }
    block_on(&handle, async {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        let open = Openat::new(At::Cwd, directory, flags, 0);
        let directory = handle.submit(open).await?;
        let listener = TcpListener::bind(&handle, address).await?;
        println!("http://{}/", listener.local_addr()?);
        let mut tasks = Vec::new();
        while requests != Some(0) {
            let (stream, peer) = listener.accept().await?;
            let (inner, directory) = (handle.clone(), directory.clone());
            tasks.push(handle.spawn(async move {
                if let Err(error) = serve(&inner, &directory, &stream).await {
                    eprintln!("{peer}: {error}");
                }
            }));
            tasks.retain(|task| !task.is_finished());
            requests = requests.map(|left| left - 1);
        }
        for task in tasks {
            task.await;
        }
        Ok(())
    })
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("static_files: {error}");
            ExitCode::FAILURE
        }
    }
}

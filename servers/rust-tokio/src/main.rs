//! A task per connection on Tokio: the code awaits, the runtime does not block.
//!
//! How it waits: read().await tries recv; when the socket is empty the task is left, and Tokio's
//! driver, an edge-triggered epoll set, wakes it. A read that does not fill its buffer counts as
//! one that emptied the socket, so no second recv is made to find that out.
//!
//! What it costs: per echo recv + send + 1/k of an epoll_wait, and the scheduling of a task; a task
//! and its buffer per connection, whose pages are there as far as they were written to.
//!
//! The trap: a runtime of many threads hands tasks between them. Where there is one CPU it costs
//! and gives nothing, so there the runtime of one thread serves.
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, future::Future, io, process, thread};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{signal, SignalKind};

const BUFFER_BYTES: usize = 16 * 1024;
/// How long accepting rests when there is no descriptor for the next connection.
const REST: Duration = Duration::from_millis(100);
const EXIT_RUNTIME: i32 = 1;
const EXIT_USAGE: i32 = 2;

enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// An address of digits only; None when it is none.
fn parse_listen(text: &str) -> Option<Address> {
    if let Some(path) = text.strip_prefix("unix://") {
        let is_path = path.starts_with('/') && path.len() > 1;
        return is_path.then(|| Address::Unix(PathBuf::from(path)));
    }
    let (host, port) = text.strip_prefix("tcp://")?.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    let ip = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(ipv6) => IpAddr::V6(ipv6.parse().ok()?),
        None => IpAddr::V4(host.parse().ok()?),
    };
    Some(Address::Tcp(SocketAddr::new(ip, port)))
}

fn listen(address: &Address, backlog: i32) -> io::Result<Socket> {
    let (domain, bound) = match address {
        Address::Tcp(ip) => (Domain::for_address(*ip), SockAddr::from(*ip)),
        Address::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
    };
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
    }
    if domain != Domain::UNIX {
        socket.set_reuse_address(true)?;
        socket.set_nodelay(true)?; // accepted sockets inherit it
    }
    socket.bind(&bound)?;
    socket.listen(backlog)?;
    Ok(socket)
}

/// Ends with the first error of either side: the peer's end, a reset, a write to nobody.
async fn echo(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    while let Ok(1..) = stream.read_buf(&mut buffer).await {
        if stream.write_all(&buffer).await.is_err() {
            return;
        }
        buffer.clear();
    }
}

/// Serves all that `accept` brings, for ever.
async fn serve<S, F>(accept: impl Fn() -> F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = io::Result<S>>,
{
    loop {
        match accept().await {
            Ok(stream) => {
                tokio::spawn(echo(stream));
            }
            // No descriptor: the connection stays queued, to ask again at once would spin.
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
}

async fn serve_on(address: &Address, socket: Socket) -> io::Result<()> {
    match address {
        Address::Tcp(_) => {
            let listener = &TcpListener::from_std(socket.into())?;
            serve(|| async move { listener.accept().await.map(|(stream, _)| stream) }).await;
        }
        Address::Unix(_) => {
            let listener = &UnixListener::from_std(StdUnixListener::from(socket))?;
            serve(|| async move { listener.accept().await.map(|(stream, _)| stream) }).await;
        }
    }
    Ok(())
}

async fn run(address: &Address, backlog: i32) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let socket = listen(address, backlog)?;
    let served = tokio::select! {
        served = serve_on(address, socket) => served,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    if let Address::Unix(path) = address {
        remove(path);
    }
    served
}

fn remove(path: &Path) {
    let _ = fs::remove_file(path); // whoever owns the directory removes it otherwise
}

fn runtime() -> io::Result<Runtime> {
    // The CPUs that this process may use, not those there are.
    match thread::available_parallelism()?.get() {
        1 => Builder::new_current_thread().enable_all().build(),
        cpus => Builder::new_multi_thread().worker_threads(cpus).enable_all().build(),
    }
}

fn fail(exit_code: i32, message: String) -> ! {
    eprintln!("rust-tokio: {message}");
    process::exit(exit_code)
}

fn main() {
    if env::args().nth(1).as_deref() == Some("--version") {
        return println!("{}", env!("RUNTIME"));
    }
    let text = env::var("LISTEN").unwrap_or_else(|_| "tcp://0.0.0.0:7000".into());
    let address = parse_listen(&text).unwrap_or_else(|| {
        let expected = "tcp://IPV4:PORT, tcp://[IPV6]:PORT or unix:///PATH";
        fail(EXIT_USAGE, format!("LISTEN='{text}': expected {expected}"))
    });
    let backlog = env::var("BACKLOG").unwrap_or_else(|_| "4096".into());
    let backlog: u16 = backlog.parse().ok().filter(|value| *value > 0).unwrap_or_else(|| {
        fail(EXIT_USAGE, format!("BACKLOG='{backlog}': expected a number from 1 to 65535"))
    });
    let done = runtime().and_then(|runtime| {
        let done = runtime.block_on(run(&address, backlog.into()));
        runtime.shutdown_background(); // connections end with the process
        done
    });
    if let Err(error) = done {
        fail(EXIT_RUNTIME, format!("cannot serve {text}: {error}"));
    }
}

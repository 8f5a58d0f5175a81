//! The threads, and the way of a client to the one that serves it: all in which shapes differ.
//! Server connections are opened before the first client comes: lending slots between databases
//! happens off a transaction's path and is not what is measured here.

use std::io;
use std::sync::Arc;
use std::sync::mpsc as ready;
use std::thread;

use poolwright_benches::job::names;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc;

use crate::relay::{Conn, Pool, serve};
use crate::{Plan, Shape, scram};

/// The user of all clients and servers.
pub const USER: &str = "bench";
/// The one database, or the beginning of their numbered names.
pub const DATABASE: &str = "bench";

const VERSION_3_0: i32 = 196_608;

/// A client that has said which database it wants.
struct Guest {
    stream: std::net::TcpStream,
    database: usize,
    /// What is to be sent before the greeting.
    proof: Vec<u8>,
}

type Doors = Vec<mpsc::UnboundedSender<Guest>>;

/// Serves until it is killed.
pub fn run(plan: &Plan) -> io::Result<()> {
    let doors = match plan.shape {
        Shape::Locked => {
            vec![start(plan, 0, Builder::new_multi_thread().worker_threads(plan.workers))?]
        }
        Shape::Alone => {
            return Builder::new_current_thread().enable_all().build()?.block_on(alone(plan));
        }
        Shape::Homed | Shape::Split => (0..plan.workers)
            .map(|worker| start(plan, worker, &mut Builder::new_current_thread()))
            .collect::<io::Result<Doors>>()?,
    };
    Builder::new_current_thread().enable_all().build()?.block_on(accept(plan, doors))
}

/// A runtime with the server connections of its databases, and the door to it.
fn start(
    plan: &Plan,
    worker: usize,
    builder: &mut Builder,
) -> io::Result<mpsc::UnboundedSender<Guest>> {
    let runtime = builder.enable_all().thread_name("shared").build()?;
    let (door, guests) = mpsc::unbounded_channel();
    let (opened, told) = ready::channel();
    let plan = plan.clone();
    thread::Builder::new().name(format!("worker-{worker}")).spawn(move || {
        runtime.block_on(async {
            let pools = open(&plan, worker).await;
            let failed = pools.as_ref().err().map(|error| error.to_string());
            let _ = opened.send(failed);
            if let Ok(pools) = pools {
                welcome(pools, guests).await;
            }
        });
    })?;
    match told.recv() {
        Ok(None) => Ok(door),
        Ok(Some(failed)) => Err(io::Error::other(failed)),
        Err(_) => Err(io::Error::other("a worker ended at its start")),
    }
}

/// The pools of this worker, at their databases' places.
async fn open(plan: &Plan, worker: usize) -> io::Result<Vec<Option<Arc<Pool>>>> {
    let mut pools = Vec::new();
    for (database, name) in names(DATABASE, plan.databases as u32).iter().enumerate() {
        let slots = match plan.shape {
            Shape::Locked | Shape::Alone => plan.slots,
            Shape::Homed if home(database, plan) == worker => plan.slots,
            Shape::Homed => 0,
            Shape::Split => plan.slots / plan.workers,
        };
        pools.push(pool(plan, name, slots).await?.map(Arc::new));
    }
    Ok(pools)
}

fn home(database: usize, plan: &Plan) -> usize {
    database % plan.workers
}

async fn pool(plan: &Plan, database: &str, slots: usize) -> io::Result<Option<Pool>> {
    let mut connections = Vec::new();
    let mut welcome = Vec::new();
    for _ in 0..slots {
        let mut stream = TcpStream::connect(plan.upstream).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&startup(database)).await?;
        welcome = read_welcome(&mut stream).await?;
        connections.push(Conn::new(stream));
    }
    Ok((slots > 0).then(|| Pool::new(connections, welcome, plan.settings)))
}

fn startup(database: &str) -> Vec<u8> {
    let text = format!("user\0{USER}\0database\0{database}\0\0");
    let length = (text.len() + 8) as i32;
    [&length.to_be_bytes(), &VERSION_3_0.to_be_bytes(), text.as_bytes()].concat()
}

/// All that a server says at login, up to its first ReadyForQuery.
async fn read_welcome(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut told = Vec::new();
    loop {
        let tag = stream.read_u8().await?;
        let length = stream.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        stream.read_exact(&mut body).await?;
        if tag == b'E' {
            return Err(io::Error::other(String::from_utf8_lossy(&body).into_owned()));
        }
        told.push(tag);
        told.extend_from_slice(&length.to_be_bytes());
        told.extend_from_slice(&body);
        if tag == b'Z' {
            return Ok(told);
        }
    }
}

/// A task for each client, on this runtime.
async fn welcome(pools: Vec<Option<Arc<Pool>>>, mut guests: mpsc::UnboundedReceiver<Guest>) {
    while let Some(guest) = guests.recv().await {
        let Some(pool) = pools.get(guest.database).cloned().flatten() else { continue };
        let Ok(stream) = TcpStream::from_std(guest.stream) else { continue };
        tokio::spawn(async move { serve(stream, &guest.proof, &pool).await });
    }
}

async fn accept(plan: &Plan, doors: Doors) -> io::Result<()> {
    let plan = Arc::new(plan.clone());
    let listener = TcpListener::bind(plan.listen).await?;
    for turn in 0.. {
        let (stream, _) = listener.accept().await?;
        let (plan, doors) = (Arc::clone(&plan), doors.clone());
        Handle::current().spawn(async move {
            let (mut stream, database) = meet(stream).await?;
            let proof = prove(&mut stream, &plan).await?;
            let guest = Guest { stream: stream.into_std()?, database, proof };
            let door = match plan.shape {
                Shape::Locked | Shape::Alone => 0,
                Shape::Homed => home(guest.database, &plan),
                Shape::Split => turn % plan.workers,
            };
            doors[door].send(guest).map_err(io::Error::other)
        });
    }
    Ok(())
}

async fn alone(plan: &Plan) -> io::Result<()> {
    let pools: Arc<Vec<_>> = Arc::new(open(plan, 0).await?);
    let plan = Arc::new(plan.clone());
    let listener = TcpListener::bind(plan.listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (pools, plan) = (Arc::clone(&pools), Arc::clone(&plan));
        tokio::spawn(async move {
            let (mut stream, database) = meet(stream).await?;
            let pool = pools.get(database).and_then(Option::as_ref);
            let proof = prove(&mut stream, &plan).await?;
            serve(stream, &proof, pool.ok_or(io::ErrorKind::NotFound)?).await
        });
    }
}

/// Reads the startup message; encryption is declined. Each comes in one piece.
async fn meet(mut stream: TcpStream) -> io::Result<(TcpStream, usize)> {
    stream.set_nodelay(true)?;
    let mut packet = [0; 1024];
    loop {
        let length = stream.read(&mut packet).await?;
        match packet[..length].get(8..).ok_or(io::ErrorKind::UnexpectedEof)? {
            [] => stream.write_all(b"N").await?,
            parameters => return Ok((stream, wanted(parameters)?)),
        }
    }
}

/// Has the client prove who it is, if it must; answers with what is still to be sent.
async fn prove(stream: &mut TcpStream, plan: &Plan) -> io::Result<Vec<u8>> {
    match &plan.verifier {
        Some(verifier) => scram::authenticate(stream, verifier).await,
        None => Ok(Vec::new()),
    }
}

/// The number behind the name of the database.
fn wanted(parameters: &[u8]) -> io::Result<usize> {
    let mut texts = parameters.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    texts.find(|text| text == "database").ok_or(io::ErrorKind::InvalidData)?;
    let name = texts.next().unwrap_or_default();
    match name.trim_start_matches(DATABASE) {
        "" => Ok(0),
        numbered => numbered.trim_start_matches('_').parse().map_err(io::Error::other),
    }
}

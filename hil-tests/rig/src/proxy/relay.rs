//! One connection through the proxy: two directions, each a reader that stamps pieces with their time and a writer that waits for it.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Line, Order, PIECE_BYTES, PIECES_MAX, Shared, lock};

/// Closes with RST instead of FIN: what waits to be sent is thrown away.
pub(super) fn reset(stream: &TcpStream) {
    // It fails only on a socket that is gone already.
    let _ = stream.set_zero_linger();
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Server,
    Client,
}

/// What the reader hands to the writer: bytes, or None for the end of the stream.
struct Piece {
    bytes: Option<Vec<u8>>,
    due: Instant,
}

/// Serves one client until an end, a reset or an order.
pub(super) async fn relay(mut client: TcpStream, shared: &Shared, mut orders: watch::Receiver<Order>) {
    let mut line = shared.line.subscribe();
    let _ = client.set_nodelay(true);
    if line.borrow().cut {
        // Its SYN was lost. The client sees a socket that says nothing, until it gives up or the cable is back.
        tokio::select! {
            () = swallow(&mut client) => {}
            _ = line.wait_for(|l| !l.cut) => {}
            _ = orders.changed() => {}
        }
        reset(&client);
        return;
    }
    let upstream = *lock(&shared.upstream);
    let Ok(mut server) = TcpStream::connect(upstream).await else {
        reset(&client);
        return;
    };
    let _ = server.set_nodelay(true);
    lock(&shared.counts).opened += 1;
    let order = {
        let (client_in, client_out) = client.split();
        let (server_in, server_out) = server.split();
        let both = async {
            let requests = pipe(client_in, server_out, To::Server, shared);
            let ended = tokio::try_join!(requests, pipe(server_in, client_out, To::Client, shared));
            if ended.is_err() {
                // One side has reset: nothing of it is sent again. The other side learns it when the cable is back.
                let _ = passes(&mut line).await;
            }
            ended
        };
        tokio::select! {
            ended = both => if ended.is_ok() { None } else { Some(Order::Reset) },
            changed = orders.changed() => Some(changed.map_or(Order::Stop, |()| *orders.borrow())),
        }
    };
    match order {
        None => {}
        Some(Order::Orphan) => {
            reset(&server);
            drop(server);
            tokio::select! {
                () = swallow(&mut client) => {}
                _ = orders.wait_for(|o| matches!(o, Order::Reset | Order::Stop)) => {}
            }
            reset(&client);
        }
        Some(Order::Go | Order::Reset | Order::Stop) => {
            reset(&client);
            reset(&server);
        }
    }
}

/// Reads and forgets until the client closes.
async fn swallow(client: &mut TcpStream) {
    let mut room = vec![0; 4096];
    while client.read(&mut room).await.is_ok_and(|n| n > 0) {}
}

/// One direction. `Ok` after an orderly end, an error after a reset of either side.
async fn pipe(from: ReadHalf<'_>, to: WriteHalf<'_>, direction: To, shared: &Shared) -> io::Result<()> {
    let (give, take) = mpsc::channel(PIECES_MAX);
    let reading = read_pieces(from, direction, shared, give);
    tokio::try_join!(reading, write_pieces(to, direction, shared, take)).map(|_| ())
}

async fn read_pieces(
    mut from: ReadHalf<'_>,
    direction: To,
    shared: &Shared,
    give: mpsc::Sender<Piece>,
) -> io::Result<()> {
    let mut room = vec![0; PIECE_BYTES];
    let mut rest = Vec::new();
    // Whatever happens to one piece, the next does not overtake it.
    let mut due = Instant::now();
    loop {
        let count = from.read(&mut room).await?;
        rest.extend_from_slice(&room[..count]);
        let pieces = match (count, direction) {
            (0, _) | (_, To::Server) => vec![(std::mem::take(&mut rest), Duration::ZERO)],
            (_, To::Client) => {
                let (pieces, spoilt) = lock(&shared.answers).take(&mut rest);
                lock(&shared.counts).spoilt += spoilt;
                pieces
            }
        };
        for (bytes, late) in pieces.into_iter().filter(|(bytes, _)| !bytes.is_empty()) {
            let line = *shared.line.borrow();
            due = due.max(Instant::now() + late + lag(&line, shared));
            if give.send(Piece { bytes: Some(bytes), due }).await.is_err() {
                return Ok(());
            }
        }
        if count == 0 {
            // The end, behind everything that waits.
            let _ = give.send(Piece { bytes: None, due }).await;
            return Ok(());
        }
    }
}

/// How much later a piece arrives on this line.
fn lag(line: &Line, shared: &Shared) -> Duration {
    let mut random = lock(&shared.random);
    let mut lag = line.delay + line.jitter.mul_f64(random.uniform());
    if line.loss > 0.0 && random.uniform() < line.loss {
        lock(&shared.counts).lost += 1;
        lag += line.resend;
    }
    lag
}

async fn write_pieces(
    mut to: WriteHalf<'_>,
    direction: To,
    shared: &Shared,
    mut take: mpsc::Receiver<Piece>,
) -> io::Result<()> {
    let mut line = shared.line.subscribe();
    while let Some(piece) = take.recv().await {
        sleep_until(piece.due).await;
        let Some(bytes) = piece.bytes else {
            passes(&mut line).await?;
            return to.shutdown().await;
        };
        let (mut left, mut waited) = (bytes.as_slice(), false);
        while !left.is_empty() {
            waited |= line.borrow().cut;
            let now = passes(&mut line).await?;
            let (part, behind) = left.split_at(left.len().min(now.segment.max(1)));
            to.write_all(part).await?;
            count(part, direction, waited, shared);
            if let Some(rate) = now.rate {
                sleep(Duration::from_secs_f64(part.len() as f64 / f64::from(rate.max(1)))).await;
            } else if !behind.is_empty() {
                tokio::task::yield_now().await;
            }
            left = behind;
        }
    }
    Ok(())
}

fn count(part: &[u8], direction: To, waited: bool, shared: &Shared) {
    let (mut counts, bytes) = (lock(&shared.counts), part.len() as u64);
    counts.segments += 1;
    match direction {
        To::Server => {
            counts.to_server += bytes;
            counts.old_to_server += if waited { bytes } else { 0 };
        }
        To::Client => counts.to_client += bytes,
    }
}

/// Waits until the cable is in; the line then.
async fn passes(line: &mut watch::Receiver<Line>) -> io::Result<Line> {
    let line = line.wait_for(|l| !l.cut).await.map_err(|_| io::Error::from(io::ErrorKind::ConnectionReset))?;
    Ok(*line)
}

//! A login by password: the least that a known user's SCRAM-SHA-256 costs. Each message
//! comes in one piece. Never safe: all exchanges have one nonce.

use std::io;

use poolwright_wire::scram::{Channel, MECHANISM, ServerExchange, Verifier};
use poolwright_wire::{read, write};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Eighteen bytes in base64.
const NONCE: &str = "c2tldGNoc2tldGNoc2tldGNo";
/// Tag and length of a message.
const HEADER: usize = 5;

/// Has the client prove that it knows the password; answers with the last message, not yet sent.
pub async fn authenticate(stream: &mut TcpStream, verifier: &Verifier) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut packet = [0; 1024];
    write::authentication_sasl(&mut out, &[MECHANISM]);
    let body = ask(stream, &mut out, &mut packet).await?;
    let first = read::sasl_initial_response(body).map_err(io::Error::other)?.response;
    let Verifier { iterations, salt, .. } = verifier;
    let first = first.unwrap_or_default();
    let exchange = ServerExchange::start(first, Channel::Unbound, NONCE, salt, *iterations)
        .map_err(io::Error::other)?;
    write::authentication_sasl_continue(&mut out, exchange.first());
    let body = ask(stream, &mut out, &mut packet).await?;
    let finished = exchange.finish(read::sasl_response(body), std::slice::from_ref(&verifier.keys));
    write::authentication_sasl_final(&mut out, &finished.map_err(io::Error::other)?.message);
    Ok(out)
}

async fn ask<'a>(
    stream: &mut TcpStream,
    out: &mut Vec<u8>,
    packet: &'a mut [u8],
) -> io::Result<&'a [u8]> {
    stream.write_all(out).await?;
    out.clear();
    let length = stream.read(packet).await?;
    packet[..length].get(HEADER..).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

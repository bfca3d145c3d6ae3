//! Just enough of HTTP/1.1 to pass messages on whole, and to break them: bodies have a length, one
//! request at a time is on a connection.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A connection.
pub(super) type Wire = BufReader<TcpStream>;

/// The longest head that is read.
const HEAD_MAX: usize = 64 * 1024;

/// A message: its first line, its other header lines and its body.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) first: String,
    headers: Vec<String>,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// The next message on a connection; `None` at its end.
    pub(super) async fn read(stream: &mut Wire) -> io::Result<Option<Self>> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).await? == 0 {
                return Ok(None);
            }
            head.push(byte[0]);
            assert!(head.len() < HEAD_MAX, "a head without an end");
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n").map(str::to_owned);
        let first = lines.next().unwrap_or_default();
        let headers: Vec<String> = lines.collect();
        let value = |name: &str| {
            headers.iter().find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        assert_eq!(
            value("transfer-encoding"),
            None,
            "only bodies with a length"
        );
        let length = value("content-length").map_or(0, |text| text.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let own = ["content-length", "connection", "host", "accept-encoding"];
        let is_own = |line: &String| {
            let name = line.split(':').next().unwrap_or_default();
            own.iter().any(|o| o.eq_ignore_ascii_case(name))
        };
        let headers = headers.iter().filter(|line| !is_own(line)).cloned();
        Ok(Some(Message {
            first,
            headers: headers.collect(),
            body,
        }))
    }

    /// A reply of the proxy's own.
    pub(super) fn reply(status: u16, body: String) -> Self {
        Message {
            first: format!("HTTP/1.1 {status} by the proxy"),
            headers: vec!["content-type: application/json".to_owned()],
            body: body.into_bytes(),
        }
    }

    /// The method and the path of a request.
    pub(super) fn line(&self) -> String {
        let mut words = self.first.split(' ');
        let method = words.next().unwrap_or_default();
        let path = words.next().unwrap_or_default();
        format!("{method} {path}")
    }

    /// The status of a reply.
    pub(super) fn status(&self) -> u16 {
        let word = self.first.split(' ').nth(1).unwrap_or_default();
        word.parse().unwrap_or(0)
    }

    /// On the wire; `extra` are header lines.
    fn bytes(&self, extra: &[&str]) -> Vec<u8> {
        let length = format!("content-length: {}", self.body.len());
        let headers = self.headers.iter().map(String::as_str);
        let lines = [self.first.as_str(), &length].into_iter();
        let lines: Vec<&str> = lines.chain(headers).chain(extra.iter().copied()).collect();
        [lines.join("\r\n").as_bytes(), b"\r\n\r\n", &self.body].concat()
    }

    /// Sends a reply whole.
    pub(super) async fn send(&self, stream: &mut Wire) -> io::Result<()> {
        stream.write_all(&self.bytes(&[])).await
    }

    /// Sends a reply without its second half.
    pub(super) async fn send_half(&self, stream: &mut Wire) -> io::Result<()> {
        let bytes = self.bytes(&[]);
        let end = bytes.len() - self.body.len() / 2 - 1;
        stream.write_all(&bytes[..end]).await?;
        stream.shutdown().await
    }

    /// Sends a request to a mint, on a connection of its own, and waits for the reply.
    pub(super) async fn exchange(&self, host: &str) -> io::Result<Message> {
        let mut stream = BufReader::new(TcpStream::connect(host).await?);
        let host = format!("host: {host}");
        let bytes = self.bytes(&[&host, "connection: close"]);
        stream.write_all(&bytes).await?;
        let reply = Message::read(&mut stream).await?;
        reply.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

//! A small HTTP server on the loopback interface that misbehaves as told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    /// How many requests came before.
    pub(crate) number: usize,
    /// "GET /path"
    pub(crate) line: String,
    /// First byte of an open-ended range.
    pub(crate) range: Option<usize>,
    pub(crate) if_range: Option<String>,
}

pub(crate) enum Sent {
    All,
    /// The connection closes after this many bytes of the body.
    CutAfter(usize),
    /// Nothing comes after this many bytes of the body, and the connection stays open.
    StallAfter(usize),
    /// A byte of head and body each time.
    OneByteEvery(Duration),
    /// The connection closes without an answer.
    Nothing,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) sent: Sent,
    pub(crate) ends: Ends,
}

/// How the client learns where the body ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// By Content-Length.
    Length,
    /// By a last chunk.
    LastChunk,
    /// By the end of the connection.
    Closing,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            sent: Sent::All,
            ends: Ends::Length,
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        self.sent = Sent::CutAfter(bytes);
        self
    }

    pub(crate) fn stall_after(mut self, bytes: usize) -> Self {
        self.sent = Sent::StallAfter(bytes);
        self
    }

    pub(crate) fn hang_up() -> Self {
        Self {
            sent: Sent::Nothing,
            ..Self::new(200, "")
        }
    }

    pub(crate) fn without_length(mut self) -> Self {
        self.ends = Ends::Closing;
        self
    }

    pub(crate) fn chunked(mut self) -> Self {
        self.ends = Ends::LastChunk;
        self
    }

    pub(crate) fn one_byte_every(mut self, time: Duration) -> Self {
        self.sent = Sent::OneByteEvery(time);
        self
    }
}

/// What a well-behaved server answers for a file of this content and entity tag.
pub(crate) fn well_behaved(request: &Request, content: &[u8], etag: &str) -> Reply {
    let unchanged = request.if_range.as_deref().is_none_or(|e| e == etag);
    match request.range.filter(|_| unchanged) {
        None => Reply::new(200, content).header("ETag", etag),
        Some(from) if from >= content.len() => {
            Reply::new(416, "").header("Content-Range", format!("bytes */{}", content.len()))
        }
        Some(from) => rest(content, from).header("ETag", etag),
    }
}

/// The file from byte `from` on.
pub(crate) fn rest(content: &[u8], from: usize) -> Reply {
    let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
    Reply::new(206, &content[from..]).header("Content-Range", range)
}

type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (log, stopped) = (Arc::clone(&requests), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                // A client that goes away is part of some tests.
                let _ = serve(stream.unwrap(), &log, &handler);
            }
        });
        Self {
            address,
            requests,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let joined = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            joined.unwrap();
        }
    }
}

fn serve(
    mut stream: TcpStream,
    log: &Mutex<Vec<Request>>,
    handler: &Handler,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let line = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut request = Request {
        number: log.lock().unwrap().len(),
        line: line.trim_end_matches(" HTTP/1.1").to_owned(),
        range: None,
        if_range: None,
    };
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "range" => {
                let from = value.strip_prefix("bytes=").unwrap().strip_suffix('-');
                request.range = Some(from.unwrap().parse().unwrap());
            }
            "if-range" => request.if_range = Some(value.to_owned()),
            _ => {}
        }
    }
    log.lock().unwrap().push(request.clone());
    let reply = handler(&request);
    if matches!(reply.sent, Sent::Nothing) {
        return Ok(());
    }
    let mut head = format!("HTTP/1.1 {} Test\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    let (length, mut body) = (reply.body.len(), reply.body);
    match reply.ends {
        Ends::Length => head += &format!("Content-Length: {length}\r\n"),
        Ends::LastChunk => {
            head += "Transfer-Encoding: chunked\r\n";
            body = [
                format!("{length:x}\r\n").as_bytes(),
                &body,
                b"\r\n0\r\n\r\n",
            ]
            .concat();
        }
        Ends::Closing => {}
    }
    let head = format!("{head}\r\n");
    if let Sent::OneByteEvery(time) = reply.sent {
        for byte in head.as_bytes().iter().chain(&body) {
            stream.write_all(&[*byte])?;
            std::thread::sleep(time);
        }
        return Ok(());
    }
    stream.write_all(head.as_bytes())?;
    let bytes = match reply.sent {
        Sent::CutAfter(bytes) | Sent::StallAfter(bytes) => bytes,
        _ => body.len(),
    };
    stream.write_all(&body[..bytes])?;
    stream.flush()?;
    if matches!(reply.sent, Sent::StallAfter(_)) {
        // Until the client gives up.
        stream.read_to_end(&mut Vec::new())?;
    }
    stream.shutdown(Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}

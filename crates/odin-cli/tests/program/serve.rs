//! `odin serve` as a process: what it says, its options as environment variables, its signals.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::Duration;

fn demo(name: &str) -> PathBuf {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../demo");
    demo.join(name)
}

struct Service {
    child: Child,
    log: BufReader<ChildStderr>,
    said: String,
    address: String,
}

impl Service {
    /// Waits until the service says its address.
    fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended: {said}");
            said.push_str(&line);
            if let Some((_, address)) = line.split_once("listening on http://") {
                let end = address.find('/').unwrap();
                break address[..end].to_string();
            }
        };
        Self {
            child,
            log,
            said,
            address,
        }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Waits for a line of the log that holds this.
    #[cfg(unix)]
    fn wait_for(&mut self, wanted: &str) {
        loop {
            let mut line = String::new();
            assert_ne!(
                self.log.read_line(&mut line).unwrap(),
                0,
                "not said: {wanted}"
            );
            self.said.push_str(&line);
            if line.contains(wanted) {
                return;
            }
        }
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Everything that it said until its end.
    fn end(mut self) -> (ExitStatus, String) {
        self.log.read_to_string(&mut self.said).unwrap();
        (self.child.wait().unwrap(), self.said)
    }
}

fn serve() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_odin"));
    command
        .arg("serve")
        .arg(demo("detector.toml"))
        .args(["--port", "0"]);
    command
}

#[cfg(unix)]
#[test]
fn it_answers_reloads_and_ends_by_signals() {
    let mut service = Service::start(&mut serve());
    assert!(
        service
            .said
            .contains("opened detector=\"detector\" version="),
        "{}",
        service.said
    );
    let answer = service.get("/v2/health/ready");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    service.signal("HUP");
    service.wait_for("opened anew");
    service.signal("TERM");
    let (status, said) = service.end();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(
        said.contains("ending: requests that have begun are answered"),
        "{said}"
    );
}

#[cfg(unix)]
#[test]
fn options_may_be_environment_variables() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_odin"));
    command
        .arg("serve")
        .env("ODIN_SERVE_DETECTORS", demo("detector.toml"))
        .env("ODIN_SERVE_PORT", "0")
        .env("ODIN_SERVE_LOG", "json")
        .env("ODIN_SERVE_MAX_IMAGES", "7");
    let mut service = Service::start(&mut command);
    let answer = service.get("/info");
    assert!(answer.contains("\"limits\":{\"images\":7,"), "{answer}");
    service.wait_for("\"route\":\"/info\"");
    service.signal("INT");
    let (status, said) = service.end();
    assert_eq!(status.code(), Some(0), "{said}");
    let line = said
        .lines()
        .find(|line| line.contains("\"route\""))
        .unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(
        (&line["level"], &line["status"]),
        (&"INFO".into(), &200.into())
    );
}

#[test]
fn what_cannot_be_served_is_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let detector = demo("detector.toml").display().to_string();
    let cases: [(&[&str], i32, &str); 7] = [
        (&[], 2, "<DETECTOR>"),
        (&["there-is-no.toml"], 1, "there-is-no.toml"),
        (
            &[&detector, "--port", &port],
            1,
            "cannot listen on 127.0.0.1",
        ),
        (&[&detector, "--max-images", "0"], 2, "--max-images"),
        (
            &[&detector, "--max-images", "9999"],
            1,
            "9999 is more than 512",
        ),
        (&[&detector, "--tls-cert", "c.pem"], 2, "--tls-key"),
        (
            &[&detector, &detector, "--nn", "net.onnx"],
            2,
            "several detectors",
        ),
    ];
    for (arguments, code, expected) in cases {
        let mut command = Command::new(env!("CARGO_BIN_EXE_odin"));
        let output = command.arg("serve").args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

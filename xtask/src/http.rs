//! A small HTTP/1.1 client over one kept-alive connection: enough to ask a server on this machine, and light enough
//! that the benches measure the server instead of the client.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// What the server answered.
pub struct Answer {
    /// The status code.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// The body as it came, still compressed if the request allowed that.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| {
            let start: String = String::from_utf8_lossy(&self.body).chars().take(200).collect();
            format!("status {}, not JSON: {start}", self.status)
        })
    }

    /// The first header of this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// One connection with its cookies.
pub struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
    cookies: BTreeMap<String, String>,
    token: Option<String>,
    accepts_compression: bool,
}

impl Client {
    /// Connects at the first request.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connection: None, cookies: BTreeMap::new(), token: None, accepts_compression: false }
    }

    /// Sends this API token with every request.
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Lets the server compress, as a browser does.
    pub fn with_compression(mut self) -> Self {
        self.accepts_compression = true;
        self
    }

    /// Goes on with another server, as behind a load balancer.
    pub fn turn_to(&mut self, address: SocketAddr) {
        self.address = address;
        self.connection = None;
    }

    /// Becomes a browser nobody has used yet; the connection stays.
    pub fn forget_cookies(&mut self) {
        self.cookies.clear();
    }

    /// Asks without a body.
    pub fn get(&mut self, path: &str) -> Result<Answer> {
        self.request("GET", path, None)
    }

    /// Sends JSON.
    pub fn post(&mut self, path: &str, body: &serde_json::Value) -> Result<Answer> {
        self.request("POST", path, Some(body))
    }

    /// Sends JSON and expects the object that was made.
    pub fn create(&mut self, path: &str, body: &serde_json::Value) -> Result<serde_json::Value> {
        let answer = self.post(path, body)?;
        if !matches!(answer.status, 200 | 201) {
            bail!("POST {path}: status {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        answer.json()
    }

    /// Any request.
    pub fn request(&mut self, method: &str, path: &str, body: Option<&serde_json::Value>) -> Result<Answer> {
        let message = self.message(method, path, body)?;
        let is_reused = self.connection.is_some();
        match self.exchange(&message) {
            // The server may have closed a connection that lay idle; a new one tells.
            Err(_) if is_reused => {
                self.connection = None;
                self.exchange(&message)
            }
            other => other,
        }
        .with_context(|| format!("{method} {path}"))
    }

    fn message(&self, method: &str, path: &str, body: Option<&serde_json::Value>) -> Result<Vec<u8>> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\n", self.address);
        if let Some(token) = &self.token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if self.accepts_compression {
            head.push_str("Accept-Encoding: br, gzip\r\n");
        }
        if !self.cookies.is_empty() {
            let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            head.push_str(&format!("Cookie: {}\r\n", pairs.join("; ")));
        }
        if let Some(csrf) = self.cookies.get("authentik_csrf") {
            head.push_str(&format!("X-authentik-CSRF: {csrf}\r\n"));
        }
        let body = body.map(serde_json::to_vec).transpose()?;
        if let Some(body) = &body {
            head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut message = head.into_bytes();
        message.extend(body.unwrap_or_default());
        Ok(message)
    }

    fn exchange(&mut self, message: &[u8]) -> Result<Answer> {
        if self.connection.is_none() {
            let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(60)))?;
            self.connection = Some(BufReader::new(stream));
        }
        let connection = self.connection.as_mut().context("no connection")?;
        connection.get_mut().write_all(message)?;
        let answer = read_answer(connection)?;
        for (_, cookie) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            keep_cookie(&mut self.cookies, cookie);
        }
        if answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            self.connection = None;
        }
        Ok(answer)
    }
}

fn keep_cookie(cookies: &mut BTreeMap<String, String>, header: &str) {
    let mut attributes = header.split(';');
    let Some((name, value)) = attributes.next().and_then(|pair| pair.split_once('=')) else { return };
    let is_deletion = value.trim().is_empty() || attributes.any(|part| part.trim().eq_ignore_ascii_case("max-age=0"));
    if is_deletion {
        cookies.remove(name.trim());
    } else {
        cookies.insert(name.trim().to_owned(), value.trim().to_owned());
    }
}

fn read_answer(connection: &mut impl BufRead) -> Result<Answer> {
    let status_line = read_line(connection)?;
    let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.with_context(|| format!("not HTTP: {status_line:?}"))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(connection)?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    if answer.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        read_chunks(connection, &mut answer.body)?;
    } else {
        let length: u64 = answer.header("content-length").unwrap_or("0").parse().context("content-length")?;
        read_exactly(connection, length, &mut answer.body)?;
    }
    Ok(answer)
}

fn read_chunks(connection: &mut impl BufRead, body: &mut Vec<u8>) -> Result<()> {
    loop {
        let line = read_line(connection)?;
        let size = u64::from_str_radix(line.split(';').next().unwrap_or("").trim(), 16).context("chunk size")?;
        read_exactly(connection, size, body)?;
        read_line(connection)?;
        if size == 0 {
            return Ok(());
        }
    }
}

fn read_exactly(connection: &mut impl BufRead, length: u64, body: &mut Vec<u8>) -> Result<()> {
    let read = connection.take(length).read_to_end(body)?;
    if u64::try_from(read)? < length {
        bail!("the connection ended inside the body");
    }
    Ok(())
}

fn read_line(connection: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        bail!("the connection ended");
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests;

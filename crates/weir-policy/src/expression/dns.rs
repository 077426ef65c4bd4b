//! `resolve_dns` and `reverse_dns`: a few answers are kept for a short while.

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long an answer is kept.
const KEEP: Duration = Duration::from_secs(180);
/// How many answers are kept.
const ENTRIES: usize = 32;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, PartialEq, Eq)]
enum Question {
    Forward(String, Option<u8>),
    Reverse(IpAddr),
}

/// The kept answers.
#[derive(Default)]
pub struct Dns(Mutex<Vec<(Question, Instant, Vec<String>)>>);

impl Dns {
    fn kept(&self, question: &Question) -> Option<Vec<String>> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|(_, asked, _)| asked.elapsed() < KEEP);
        entries.iter().find(|(known, ..)| known == question).map(|(_, _, answer)| answer.clone())
    }

    fn keep(&self, question: Question, answer: &[String]) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|(known, ..)| *known != question);
        if entries.len() >= ENTRIES {
            entries.remove(0);
        }
        entries.push((question, Instant::now(), answer.to_vec()));
    }

    /// The addresses of a host; none when it cannot be resolved.
    pub async fn resolve(&self, host: &str, version: Option<u8>) -> Vec<String> {
        let question = Question::Forward(host.to_owned(), version);
        if let Some(answer) = self.kept(&question) {
            return answer;
        }
        let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host, 0))).await;
        let mut answer: Vec<String> = Vec::new();
        for address in found.ok().and_then(Result::ok).into_iter().flatten().map(|a| a.ip().to_canonical()) {
            let fits = version.is_none_or(|v| v == if address.is_ipv4() { 4 } else { 6 });
            let text = address.to_string();
            if fits && !answer.contains(&text) {
                answer.push(text);
            }
        }
        self.keep(question, &answer);
        answer
    }

    /// The name of an address; the address itself when it has none.
    pub async fn reverse(&self, address: IpAddr) -> String {
        let question = Question::Reverse(address);
        if let Some(name) = self.kept(&question).and_then(|a| a.into_iter().next()) {
            return name;
        }
        let asked = tokio::task::spawn_blocking(move || dns_lookup::lookup_addr(&address));
        let name = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(Ok(name))) => name,
            _ => address.to_string(),
        };
        self.keep(question, std::slice::from_ref(&name));
        name
    }
}

//! One worker process and the pipes to it.

use std::{io, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::{Instant, timeout},
};

use crate::{
    pool::WorkerCommand,
    wire::{self, FromWorker, ToWorker},
};

/// How long a worker that closed its output may take to exit before its exit code is given up.
const EXIT_PATIENCE: Duration = Duration::from_millis(500);

/// A running worker. Dropping it kills the process.
pub(crate) struct Worker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Runs it has finished.
    pub(crate) runs: u32,
    /// When it was last given back.
    pub(crate) idle_since: Instant,
}

impl Worker {
    /// Starts a process. It gets no environment: what it runs must not learn our secrets even if it escaped.
    pub(crate) fn start(command: &WorkerCommand) -> io::Result<Self> {
        let mut child = Command::new(&command.program)
            .args(&command.args)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().ok_or_else(|| io::Error::other("no standard input"))?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("no standard output"))?;
        Ok(Self { child, input, output: BufReader::new(output), runs: 0, idle_since: Instant::now() })
    }

    pub(crate) async fn send(&mut self, message: &ToWorker) -> io::Result<()> {
        self.input.write_all(&wire::encode(message)?).await?;
        self.input.flush().await
    }

    /// The next message; `None` when the process has closed its output.
    pub(crate) async fn receive(&mut self) -> io::Result<Option<FromWorker>> {
        let mut prefix = [0; 4];
        match self.output.read_exact(&mut prefix).await {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut bytes = vec![0; wire::frame_length(prefix)?];
        self.output.read_exact(&mut bytes).await?;
        wire::decode(&bytes).map(Some)
    }

    /// Whether the process still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The exit code of a process that ended by itself.
    pub(crate) async fn exit_code(mut self) -> Option<i32> {
        timeout(EXIT_PATIENCE, self.child.wait()).await.ok()?.ok()?.code()
    }

    /// The process id, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

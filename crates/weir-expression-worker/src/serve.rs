//! The loop of a worker process.

use std::{
    io::{self, BufReader, Read, Write},
    process::ExitCode,
    thread,
};

use weir_expression::{
    Limits, SyntaxProblem,
    wire::{self, FromWorker, ToWorker},
};

use crate::{
    compile::{Programs, Recipe},
    memory,
    run::{Run, Task},
};

/// Stack of the thread that parses and runs. Only what is used of it is ever backed by memory.
const STACK: usize = 256 * 1024 * 1024;

/// Serves requests until the input ends. What the hidden subcommand of the server runs.
pub fn main_loop() -> ExitCode {
    if !memory::arm() {
        return ExitCode::FAILURE;
    }
    let served = thread::Builder::new().name("expression".to_owned()).stack_size(STACK).spawn(|| {
        let mut pipe = Pipe { input: BufReader::new(io::stdin().lock()), output: io::stdout().lock() };
        serve(&mut pipe)
    });
    match served.map(thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// The two ends of the conversation with the pool.
pub(crate) struct Pipe<R, W> {
    pub(crate) input: R,
    pub(crate) output: W,
}

/// What a run needs of the pipe.
pub(crate) trait Channel {
    /// Says something that needs no answer.
    fn say(&mut self, message: &FromWorker) -> io::Result<()>;

    /// Asks the host.
    fn ask(&mut self, question: &FromWorker) -> io::Result<Result<weir_expression::Value, weir_expression::Raise>>;
}

impl<R: Read, W: Write> Channel for Pipe<R, W> {
    fn say(&mut self, message: &FromWorker) -> io::Result<()> {
        wire::write(&mut self.output, message)
    }

    fn ask(&mut self, question: &FromWorker) -> io::Result<Result<weir_expression::Value, weir_expression::Raise>> {
        self.say(question)?;
        match wire::read(&mut self.input)? {
            Some(ToWorker::Answer(answer)) => Ok(answer),
            Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "expected an answer")),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn serve<R: Read, W: Write>(pipe: &mut Pipe<R, W>) -> io::Result<()> {
    let mut programs = Programs::default();
    while let Some(message) = wire::read(&mut pipe.input)? {
        let last = match message {
            ToWorker::Run { source, variables, context, limits } => {
                let task = Task { source, variables, context };
                let (result, context) = Run::new(pipe, &limits).execute(&mut programs, task)?;
                FromWorker::Done { result, context }
            }
            ToWorker::Check { source, limits } => FromWorker::Checked(check(&mut programs, source, &limits)),
            ToWorker::Answer(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "unexpected answer")),
        };
        memory::end_run();
        pipe.say(&last)?;
    }
    Ok(())
}

fn check(programs: &mut Programs, source: String, limits: &Limits) -> Result<(), SyntaxProblem> {
    memory::start_run(limits.memory);
    programs.get(Recipe::new(source, &[], None)).map(|_| ())
}

//! One run: the interpreter computes until it needs something, gets it, and goes on.

use std::{borrow::Cow, io, thread, time::Instant};

use monty::{FunctionCall, NameLookup, OsCall, RunProgress};
use monty_types::{
    CallArgs, ExcType, ExtFunctionResult, MontyException, MontyObject, NameLookupResult, OsFunctionCall, PrintWriter,
    PrintWriterCallback, ResourceLimits, ResourceTracker,
};
use weir_expression::{
    Call, ContextVariable, EvalError, Exception, Limit, Limits, LogLine, Raise, Value, wire::FromWorker,
};

use crate::{
    builtin::{self, HOST_FUNCTIONS, Imported, Loggers},
    compile::{Programs, Recipe},
    convert::{Handles, exception_name, exception_type},
    memory,
    serve::Channel,
};

/// Name under which the prelude loads the rows of a query set; the host knows it as `__iter__`.
const LOAD_ROWS: &str = "weir_rows";
/// Name of the function that gives the logger.
const GET_LOGGER: &str = "_weir_get_logger";
/// The most random bytes at once.
const MAX_RANDOM: u64 = 64 * 1024;
/// The longest text of an exception.
const MAX_EXCEPTION: usize = 16 * 1024;
/// Answers given without the host, so that a run cannot talk to the worker forever.
const MAX_LOCAL_ANSWERS: usize = 1_000_000;

/// What to run.
pub(crate) struct Task {
    pub(crate) source: String,
    pub(crate) variables: Vec<(String, Value)>,
    pub(crate) context: Option<ContextVariable>,
}

/// What is handed out before an exception ends the run.
#[derive(Default)]
struct Kept {
    context: Option<Value>,
    message: Option<String>,
    line: Option<u32>,
}

/// Positional and named arguments.
type Arguments = (Vec<Value>, Vec<(String, Value)>);

/// A result and the context.
type Finished = (Result<Value, EvalError>, Option<Value>);

/// The state of a run outside of the interpreter.
pub(crate) struct Run<'a, C> {
    channel: &'a mut C,
    limits: &'a Limits,
    handles: Handles,
    loggers: Loggers,
    print: Print,
    questions: usize,
    local_answers: usize,
    log_bytes: usize,
    started: Instant,
    /// What an exception left behind.
    kept: Kept,
    /// Why the run has to end, beside what the interpreter itself says.
    stopped: Option<EvalError>,
}

/// A step of the interpreter: it goes on, it fails, or the pipe broke.
type Step = io::Result<Result<RunProgress, MontyException>>;

impl<'a, C: Channel> Run<'a, C> {
    pub(crate) fn new(channel: &'a mut C, limits: &'a Limits) -> Self {
        Self {
            channel,
            limits,
            handles: Handles::default(),
            loggers: Loggers::default(),
            print: Print { pending: String::new(), lines: Vec::new(), left: limits.log },
            questions: 0,
            local_answers: 0,
            log_bytes: 0,
            started: Instant::now(),
            kept: Kept::default(),
            stopped: None,
        }
    }

    /// Runs to the end. The error is one of the pipe.
    pub(crate) fn execute(mut self, programs: &mut Programs, task: Task) -> io::Result<Finished> {
        let context_variable = task.context.as_ref().map(|context| context.is_variable);
        memory::start_run(self.limits.memory);
        let program = match programs.get(Recipe::new(task.source, &task.variables, context_variable)) {
            Ok(program) => program,
            Err(problem) => return Ok((Err(EvalError::Syntax(problem)), None)),
        };
        memory::start_run(self.limits.memory);
        let has_context = task.context.is_some();
        let mut inputs = vec![task.context.map_or(Value::None, |context| context.value)];
        inputs.extend(task.variables.into_iter().map(|(_, value)| value));
        let inputs = match self.handles.import(&Value::List(inputs)) {
            Ok(inputs) => inputs,
            Err(raise) => return Ok((Err(raised(raise)), None)),
        };
        let limits = ResourceLimits::default()
            .max_turn_duration(self.limits.turn)
            .max_feed_duration(self.limits.run)
            .max_memory(self.limits.memory)
            .max_recursion_depth(self.limits.recursion);
        let writer = PrintWriter::Callback(&mut self.print);
        let mut step = program.as_ref().clone().start(vec![inputs], ResourceTracker::new(limits), writer);
        loop {
            self.flush_print()?;
            step = match step {
                Ok(RunProgress::Complete(value)) => return Ok(self.complete(&value, has_context)),
                Ok(RunProgress::FunctionCall(call)) => self.function_call(call)?,
                Ok(RunProgress::NameLookup(lookup)) => self.name_lookup(lookup)?,
                Ok(RunProgress::OsCall(call)) => self.os_call(call)?,
                Ok(RunProgress::ResolveFutures(futures)) => {
                    let error = MontyException::new(ExcType::RuntimeError, Some("nothing to wait for".to_owned()));
                    futures.abort(error, PrintWriter::Callback(&mut self.print))
                }
                Err(error) => return Ok(self.fail(&error)),
            };
        }
    }

    fn complete(self, value: &MontyObject, has_context: bool) -> Finished {
        let Some([result, context]) = value.as_ref().items().and_then(|items| <[_; 2]>::try_from(items).ok()) else {
            return (Err(EvalError::Unavailable("the program ended without a result".to_owned())), None);
        };
        let export = |value| {
            self.handles
                .export(value, self.limits.output)
                .map_err(|error| EvalError::limit(Limit::Output, format!("result: {}", error.text())))
        };
        let result = export(result);
        if !has_context {
            return (result, None);
        }
        match export(context) {
            Ok(context) => (result, Some(context)),
            Err(_) => (Err(EvalError::limit(Limit::Output, "context: value is too large or nested too deeply")), None),
        }
    }

    fn fail(self, error: &MontyException) -> Finished {
        if let Some(stopped) = self.stopped {
            return (Err(stopped), None);
        }
        let message = error.message().unwrap_or_default();
        match error.exc_type() {
            ExcType::TimeoutError if is_time_limit(message) => {
                (Err(EvalError::limit(Limit::Time, "time limit exceeded")), None)
            }
            ExcType::MemoryError if message.starts_with("memory limit exceeded") => {
                (Err(EvalError::limit(Limit::Memory, "memory limit exceeded")), None)
            }
            kind => {
                let Kept { context, message: kept, line } = self.kept;
                let message = kept.unwrap_or_else(|| message.to_owned());
                let exception = Exception { class: exception_name(kind), message, line };
                (Err(EvalError::Raised(exception)), context)
            }
        }
    }

    /// Ends the run at a suspension with an exception that the expression cannot catch.
    fn stop(&mut self, error: EvalError) -> MontyException {
        let exception = MontyException::new(ExcType::RuntimeError, Some(error.to_string()));
        self.stopped.get_or_insert(error);
        exception
    }

    fn count_local(&mut self) -> Option<MontyException> {
        self.local_answers += 1;
        (self.local_answers > MAX_LOCAL_ANSWERS)
            .then(|| self.stop(EvalError::limit(Limit::Suspensions, "too many calls")))
    }

    fn count_question(&mut self) -> Option<MontyException> {
        self.questions += 1;
        (self.questions > self.limits.suspensions)
            .then(|| self.stop(EvalError::limit(Limit::Suspensions, "too many questions to the server")))
    }

    fn ask(&mut self, question: &FromWorker) -> io::Result<Result<MontyObject, Raise>> {
        let answer = self.channel.ask(question)?;
        Ok(answer.and_then(|value| self.handles.import(&value)))
    }

    fn name_lookup(&mut self, lookup: NameLookup) -> Step {
        let Some(object) = lookup.object_id() else {
            if let Some(stop) = self.count_local() {
                return Ok(lookup.abort(stop, self.writer()));
            }
            let value = self.global(&lookup.name);
            return Ok(lookup.resume(NameLookupResult::from(value), self.writer()));
        };
        let Some(handle) = self.handles.handle(object).map(ToOwned::to_owned) else {
            return Ok(lookup.resume(NameLookupResult::Undefined, self.writer()));
        };
        if let Some(stop) = self.count_question() {
            return Ok(lookup.abort(stop, self.writer()));
        }
        let question = FromWorker::Attribute { object: handle, name: lookup.name.clone() };
        let answer = match self.ask(&question)? {
            Ok(value) => NameLookupResult::Value(value),
            // `hasattr` and `getattr` with a default see this one.
            Err(raise) if raise.class == "AttributeError" => NameLookupResult::Undefined,
            Err(raise) => NameLookupResult::Error(exception(raise)),
        };
        Ok(lookup.resume(answer, self.writer()))
    }

    /// A name that neither the source nor the prelude defines.
    fn global(&mut self, name: &str) -> Option<MontyObject> {
        match name {
            "requests" => self.handles.import(&builtin::session().into()).ok(),
            "ak_logger" => Some(Loggers::first()),
            builtin::MESSAGE | builtin::KEEP | builtin::IMPORT => Some(MontyObject::function(name, None)),
            _ => HOST_FUNCTIONS.contains(&name).then(|| MontyObject::function(name, None)),
        }
    }

    fn function_call(&mut self, call: FunctionCall) -> Step {
        let Some(object) = call.object_id else { return self.plain_call(call) };
        if let Some(bound) = self.loggers.bound(object).cloned() {
            if let Some(stop) = self.count_local() {
                return Ok(call.abort(stop, self.writer()));
            }
            let answer = self.log(&bound, &call.function_name, &call.args)?;
            return Ok(call.resume(answer, self.writer()));
        }
        match self.handles.handle(object).map(ToOwned::to_owned) {
            Some(handle) => self.host_call(call, Some(handle)),
            None => {
                let error = Raise::new("TypeError", "object is not callable");
                Ok(call.resume(exception(error), self.writer()))
            }
        }
    }

    fn plain_call(&mut self, call: FunctionCall) -> Step {
        if HOST_FUNCTIONS.contains(&call.function_name.as_str()) {
            return self.host_call(call, None);
        }
        if call.function_name == builtin::IMPORT {
            return self.import(call);
        }
        if let Some(stop) = self.count_local() {
            return Ok(call.abort(stop, self.writer()));
        }
        let first = call.args.arg(0);
        let answer = match call.function_name.as_str() {
            builtin::MESSAGE => {
                let text = first.map(|text| text.to_string()).unwrap_or_default();
                self.log_bytes = self.log_bytes.saturating_add(text.len());
                if self.log_bytes <= self.limits.log {
                    self.channel.say(&FromWorker::Message(text))?;
                }
                MontyObject::none()
            }
            builtin::KEEP => {
                let context = first.and_then(|context| self.handles.export(context, self.limits.output).ok());
                let mut message = call.args.arg(1).map(|text| text.to_string()).unwrap_or_default();
                message.truncate(message.floor_char_boundary(MAX_EXCEPTION));
                let line = call.args.arg(2).and_then(|line| u32::try_from(line.as_int()?).ok());
                self.kept = Kept {
                    context: context.filter(|context| *context != Value::None),
                    message: Some(message),
                    line: line.filter(|line| *line > 0),
                };
                MontyObject::none()
            }
            GET_LOGGER => Loggers::first(),
            name => {
                let error = Raise::no_function(name);
                return Ok(call.resume(exception(error), self.writer()));
            }
        };
        Ok(call.resume(answer, self.writer()))
    }

    fn import(&mut self, call: FunctionCall) -> Step {
        let text = |index: usize| call.args.arg(index).and_then(|value| value.as_str().map(ToOwned::to_owned));
        let module = text(0).unwrap_or_default();
        let name = text(1);
        let value = match builtin::import(&module, name.as_deref()) {
            Imported::Value(value) => self.handles.import(&value),
            Imported::GetLogger => Ok(MontyObject::function(GET_LOGGER, None)),
            Imported::Missing => Err(builtin::no_module(&module)),
            Imported::AskHost => {
                if let Some(stop) = self.count_question() {
                    return Ok(call.abort(stop, self.writer()));
                }
                let question = Call {
                    object: None,
                    receiver: None,
                    name: "__import__".to_owned(),
                    args: vec![module.as_str().into(), name.into()],
                    kwargs: Vec::new(),
                };
                // A host that does not know imports says that the function does not exist.
                self.ask(&FromWorker::Call(question))?.map_err(|raise| match raise.class.as_str() {
                    "NameError" => builtin::no_module(&module),
                    _ => raise,
                })
            }
        };
        let answer = value.map_or_else(|raise| ExtFunctionResult::Error(exception(raise)), ExtFunctionResult::Return);
        Ok(call.resume(answer, self.writer()))
    }

    fn host_call(&mut self, call: FunctionCall, object: Option<String>) -> Step {
        if let Some(stop) = self.count_question() {
            return Ok(call.abort(stop, self.writer()));
        }
        let question = match self.question(&call, object) {
            Ok(question) => question,
            Err(raise) => return Ok(call.resume(exception(raise), self.writer())),
        };
        let answer = match self.ask(&FromWorker::Call(question))? {
            Ok(value) => ExtFunctionResult::Return(value),
            Err(raise) => ExtFunctionResult::Error(exception(raise)),
        };
        Ok(call.resume(answer, self.writer()))
    }

    fn question(&self, call: &FunctionCall, object: Option<String>) -> Result<Call, Raise> {
        let (mut args, kwargs) = self.arguments(&call.args)?;
        let is_method = object.is_some();
        let receiver = (is_method && call.function_name == "save" && !args.is_empty()).then(|| args.remove(0));
        let name = if is_method && call.function_name == LOAD_ROWS { "__iter__" } else { &call.function_name };
        Ok(Call { object, receiver, name: name.to_owned(), args, kwargs })
    }

    fn arguments(&self, args: &CallArgs) -> Result<Arguments, Raise> {
        let export = |value| {
            let exported = self.handles.export(value, self.limits.output);
            exported.map_err(|error| Raise::new("ValueError", error.text()))
        };
        let positional = args.args().map(export).collect::<Result<_, _>>()?;
        let named = args
            .kwargs()
            .map(|(name, value)| Ok((name.as_str().unwrap_or_default().to_owned(), export(value)?)))
            .collect::<Result<_, Raise>>()?;
        Ok((positional, named))
    }

    /// A method of a logger.
    fn log(&mut self, bound: &[(String, Value)], method: &str, args: &CallArgs) -> io::Result<ExtFunctionResult> {
        let (positional, named) = match self.arguments(args) {
            Ok(arguments) => arguments,
            Err(raise) => return Ok(ExtFunctionResult::Error(exception(raise))),
        };
        let mut fields = bound.to_vec();
        for (name, value) in named {
            match fields.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value,
                None => fields.push((name, value)),
            }
        }
        if matches!(method, "bind" | "new") {
            return Ok(ExtFunctionResult::Return(self.loggers.bind(fields)));
        }
        let Some(level) = builtin::log_level(method) else {
            return Ok(ExtFunctionResult::Error(exception(Raise::no_attribute("Logger", method))));
        };
        let event = positional.iter().map(Value::key_text).collect::<Vec<_>>().join(" ");
        self.say_line(LogLine { level: level.to_owned(), event, fields })?;
        Ok(ExtFunctionResult::Return(MontyObject::none()))
    }

    fn say_line(&mut self, line: LogLine) -> io::Result<()> {
        let fields: usize = line.fields.iter().map(|(name, value)| name.len() + value.key_text().len()).sum();
        self.log_bytes = self.log_bytes.saturating_add(line.event.len()).saturating_add(fields).saturating_add(16);
        if self.log_bytes <= self.limits.log { self.channel.say(&FromWorker::Log(line)) } else { Ok(()) }
    }

    fn flush_print(&mut self) -> io::Result<()> {
        for event in std::mem::take(&mut self.print.lines) {
            self.say_line(LogLine { level: "info".to_owned(), event, fields: Vec::new() })?;
        }
        Ok(())
    }

    fn os_call(&mut self, call: OsCall) -> Step {
        if let Some(stop) = self.count_local() {
            return Ok(call.abort(stop, self.writer()));
        }
        let answer = match &call.function_call {
            OsFunctionCall::Urandom(args) => random(args.size),
            OsFunctionCall::Sleep(delay) | OsFunctionCall::SystemSleep(delay) => {
                let left = self.limits.run.saturating_sub(self.started.elapsed());
                thread::sleep((*delay).min(left).min(self.limits.turn));
                if *delay > left.min(self.limits.turn) {
                    let stop = self.stop(EvalError::limit(Limit::Time, "time limit exceeded"));
                    return Ok(call.abort(stop, self.writer()));
                }
                ExtFunctionResult::Return(MontyObject::none())
            }
            other => ExtFunctionResult::Error(other.on_no_handler()),
        };
        Ok(call.resume(answer, self.writer()))
    }

    fn writer(&mut self) -> PrintWriter<'_> {
        PrintWriter::Callback(&mut self.print)
    }
}

fn random(size: u64) -> ExtFunctionResult {
    let error = |text: &str| ExtFunctionResult::Error(exception(Raise::new("ValueError", text)));
    let Some(size) = usize::try_from(size).ok().filter(|_| size <= MAX_RANDOM) else {
        return error("too many random bytes");
    };
    let mut bytes = vec![0; size];
    match getrandom::fill(&mut bytes) {
        Ok(()) => ExtFunctionResult::Return(MontyObject::bytes(bytes)),
        Err(_) => error("no random bytes available"),
    }
}

fn exception(raise: Raise) -> MontyException {
    MontyException::new(exception_type(&raise.class), Some(raise.message))
}

fn raised(raise: Raise) -> EvalError {
    EvalError::Raised(Exception { class: raise.class, message: raise.message, line: None })
}

fn is_time_limit(message: &str) -> bool {
    message.starts_with("turn time limit exceeded") || message.starts_with("feed time limit exceeded")
}

/// Collects what is printed into lines.
struct Print {
    pending: String,
    lines: Vec<String>,
    /// Bytes that may still be printed; the rest is dropped.
    left: usize,
}

impl PrintWriterCallback for Print {
    fn stdout_write(&mut self, output: Cow<'_, str>) -> Result<(), MontyException> {
        for char in output.chars() {
            self.stdout_push(char)?;
        }
        Ok(())
    }

    fn stdout_push(&mut self, end: char) -> Result<(), MontyException> {
        if end == '\n' {
            self.lines.push(std::mem::take(&mut self.pending));
            self.left = self.left.saturating_sub(16);
        } else if self.left > 0 {
            self.left = self.left.saturating_sub(end.len_utf8());
            self.pending.push(end);
        }
        Ok(())
    }
}

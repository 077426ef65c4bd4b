//! From a source to a program, and the programs kept for next time.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write,
    rc::Rc,
};

use monty::MontyRun;
use monty_types::{AssertMessageAnnotations, CompileOptions, ExcType, MontyException};
use weir_expression::{SyntaxProblem, Value};

use crate::{
    prelude,
    rewrite::{LINE, MAIN, Rewritten, rewrite},
};

/// Name of the file in the interpreter's messages.
const FILE: &str = "expression";
/// Name of the one input: the context, then the variables.
const INPUT: &str = "_weir_in";
/// Programs kept.
const KEPT: usize = 128;
/// Sources longer than this are compiled each time.
const KEPT_SOURCE: usize = 16 * 1024;

/// What of a variable decides about the program.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Parameter {
    name: String,
    is_address: bool,
    is_request: bool,
}

/// What a program is made from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Recipe {
    source: String,
    parameters: Vec<Parameter>,
    /// Whether there is a context, and whether it is a variable.
    context: Option<bool>,
}

impl Recipe {
    /// The recipe for a source with these variables.
    pub(crate) fn new(source: String, variables: &[(String, Value)], context: Option<bool>) -> Self {
        let parameters = variables
            .iter()
            .map(|(name, value)| Parameter {
                name: name.clone(),
                is_address: matches!(value, Value::IpAddress(_)),
                is_request: name == "request" && matches!(value, Value::Object(_)),
            })
            .collect();
        Self { source, parameters, context }
    }

    fn program(&self) -> Result<MontyRun, SyntaxProblem> {
        let mut names: Vec<&str> = self.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
        if self.context == Some(true) {
            names.push("context");
        }
        let rewritten = rewrite(&self.source, &names)?;
        let mut text = rewritten.text.clone();
        let mut needed = vec!["_weir_final"];
        if self.parameters.iter().any(|parameter| parameter.is_address) {
            needed.push("ip_address");
        }
        text.push_str("\n\n");
        text.push_str(&prelude::pieces(&rewritten, &needed));
        text.push_str(&self.tail(&rewritten));
        let options =
            CompileOptions { assert_message_annotations: AssertMessageAnnotations::Off, source_scan_threshold: 0 };
        MontyRun::new(text, FILE, vec![INPUT.to_owned()], options)
            .map_err(|error| compile_problem(&error, &rewritten.lines))
    }

    /// What calls the function and hands out the result.
    fn tail(&self, rewritten: &Rewritten) -> String {
        let mut arguments = Vec::new();
        let mut text = format!("_weir_context = {INPUT}[0]\n{LINE} = 0\n");
        for (index, parameter) in self.parameters.iter().enumerate() {
            let input = format!("{INPUT}[{}]", index + 1);
            if parameter.is_request && self.context.is_some() {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{input}.context = _weir_context");
            }
            arguments.push(if parameter.is_address { format!("ip_address({input})") } else { input });
        }
        if self.context == Some(true) {
            arguments.push("_weir_context".to_owned());
        }
        let arguments = arguments.join(", ");
        if rewritten.is_generator {
            text.push_str("_weir_out = []\n");
        }
        text.push_str("try:\n");
        if rewritten.is_generator {
            let _ = writeln!(text, "    {MAIN}({arguments})\n    _weir_result = _weir_out");
        } else {
            let _ = writeln!(text, "    _weir_result = _weir_final({MAIN}({arguments}))");
        }
        // Raising it again loses where it came from, so that is handed out too.
        text.push_str(
            "except BaseException as error:\n    _weir_keep(_weir_context, str(error), _weir_line)\n    raise\n\
             [_weir_result, _weir_context]\n",
        );
        text
    }
}

/// The line of the source for a line of the program (from 1). The `def` is no line of the source.
fn source_line(lines: &[u32], line: impl TryInto<usize>) -> Option<u32> {
    let index = line.try_into().ok()?.checked_sub(1)?;
    lines.get(index).copied().filter(|line| *line > 0)
}

fn compile_problem(error: &MontyException, lines: &[u32]) -> SyntaxProblem {
    let place = error.traceback().last();
    let line = place.and_then(|frame| source_line(lines, frame.start.line)).unwrap_or(1);
    let is_unsupported = error.exc_type() == ExcType::NotImplementedError;
    let message = error.message().unwrap_or("invalid syntax");
    let message = match message.strip_prefix("The monty syntax parser does not yet support ") {
        Some(what) => format!("not supported: {what}"),
        None => message.to_owned(),
    };
    SyntaxProblem { message, line, column: 1, is_unsupported }
}

/// The programs of this worker.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    kept: HashMap<Recipe, Rc<MontyRun>>,
    order: VecDeque<Recipe>,
}

impl Programs {
    /// The program of a recipe.
    pub(crate) fn get(&mut self, recipe: Recipe) -> Result<Rc<MontyRun>, SyntaxProblem> {
        if let Some(program) = self.kept.get(&recipe) {
            return Ok(Rc::clone(program));
        }
        let program = Rc::new(recipe.program()?);
        if recipe.source.len() <= KEPT_SOURCE {
            if self.order.len() >= KEPT
                && let Some(oldest) = self.order.pop_front()
            {
                self.kept.remove(&oldest);
            }
            self.order.push_back(recipe.clone());
            self.kept.insert(recipe, Rc::clone(&program));
        }
        Ok(program)
    }
}

//! A directory with configuration files, in which couchgate is called.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// A directory of a test's own.
pub struct Place(TempDir);

impl Place {
    pub fn with(files: &[(&str, &str)]) -> Self {
        let place = Self(TempDir::new().unwrap());
        for (name, text) in files {
            let path = place.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        place
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn couchgate(&self, arguments: &str, environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_couchgate"));
        let environment = environment.iter().copied();
        command.current_dir(self.path()).env_clear().envs(environment).stdin(Stdio::null());
        command.args(arguments.split_whitespace());
        command
    }

    /// Whether `couchgate check` is content.
    pub fn is_in_order(&self, arguments: &str, environment: &[(&str, &str)]) -> bool {
        let arguments = format!("check {arguments}");
        let output = self.couchgate(&arguments, environment).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() == said.is_empty(), "{said}");
        assert!(said.is_empty() || said.contains("upstream cannot be asked"), "{said}");
        output.status.success()
    }

    /// What a failing couchgate says; its lines without the program's name.
    #[track_caller]
    pub fn faults(&self, arguments: &str) -> Vec<String> {
        let output = self.couchgate(arguments, &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        let line = |line: &str| {
            let line = line.strip_prefix("couchgate: ");
            line.unwrap_or_else(|| panic!("not one line a fault: {said}")).to_owned()
        };
        said.lines().map(line).collect()
    }

    /// The first line of the log of a couchgate that starts.
    pub fn first_line(&self, arguments: &str, environment: &[(&str, &str)]) -> Value {
        let mut command = self.couchgate(arguments, environment);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("couchgate says: {line}"))
    }
}

//! The quickstart's data and configuration, with couchgate as a process of its own.

use std::{path::Path, process::Command};

use couchgate::{
    app,
    config::{Config, Sources},
};

use crate::{
    demo,
    guide::{self, Places},
    support::{Couch, Gate, place::Place},
};

/// Where the quickstart listens if nobody else does.
const URL: &str = "http://127.0.0.1:5994";

/// The file that the documents call couchgate's.
const INI: &str = "/etc/couchgate/couchgate.ini";

/// What `cargo run --example quickstart` starts, on other ports.
pub(crate) struct Quickstart {
    couch: Couch,
    gate: Gate,
    place: Place,
    config: Config,
}

impl Quickstart {
    pub(crate) fn start() -> Self {
        let couch = Couch::embedded(&[]);
        let ini = demo::ini(&couch.url);
        let gate = Gate::start(&couch.url, &ini);
        let ini = format!("{ini}[couchgate]\nport = {}\n", gate.address.port());
        let place = Place::with(&[("couchgate.ini", &ini)]);
        let files = vec![place.path().join("couchgate.ini")];
        let sources = Sources { files, ..Sources::default() };
        let config = Config::load(&sources).unwrap();
        let (upstream, _) = app::couch(&config).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(demo::fill(&upstream, &config)).unwrap();
        Self { couch, gate, place, config }
    }

    /// What it prints.
    pub(crate) fn guide(&self) -> String {
        let places = Places {
            clients: self.gate.address,
            admin: self.gate.admin,
            upstream: &self.couch.url,
            scratch: self.place.path(),
        };
        guide::embedded(&places, &self.config)
    }

    /// A text of the documents with the places of this one.
    pub(crate) fn here(&self, text: &str) -> String {
        let ini = self.place.path().join("couchgate.ini");
        let text = text.replace(URL, &format!("http://{}", self.gate.address));
        text.replace(INI, &ini.display().to_string())
    }

    /// What a shell prints that runs a script, with `couchgate` in its path.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> String {
        const ROOT: &str = env!("CARGO_MANIFEST_DIR");
        let cargo = format!("cargo run --release --manifest-path {ROOT}/Cargo.toml --");
        let script = self.here(&script.replace(&cargo, "couchgate"));
        let program = Path::new(env!("CARGO_BIN_EXE_couchgate")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.current_dir(ROOT).env("PATH", path).env("PYTHONDONTWRITEBYTECODE", "1");
        let output = shell.args(["-euc", &script]).output().unwrap();
        assert!(output.status.success(), "{script}\n{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

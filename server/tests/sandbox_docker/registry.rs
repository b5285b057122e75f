//! A registry of a test's own on loopback, which an engine takes without TLS.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running registry, ended with its images when dropped.
pub struct Registry {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Registry {
    pub fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n\
             storage: {{filesystem: {{rootdirectory: \"{}\"}}}}\n",
            path("images").display()
        );
        std::fs::write(path("config.yml"), config).unwrap();
        let mut process = Command::new("docker-registry")
            .arg("serve")
            .arg(path("config.yml"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(path("log")).unwrap())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let port = loop {
            let log = std::fs::read_to_string(path("log")).unwrap();
            let found = log.split("listening on 127.0.0.1:").nth(1);
            let found = found.and_then(|rest| rest.split_once('"')?.0.parse().ok());
            if let Some(port) = found {
                break port;
            }
            assert!(process.try_wait().unwrap().is_none(), "the registry ended: {log}");
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "the registry does not listen: {log}"
            );
            std::thread::sleep(Duration::from_millis(10));
        };
        Self {
            process,
            port,
            _folder: folder,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

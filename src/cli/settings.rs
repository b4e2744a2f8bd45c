//! Flags that every command takes, and how they become settings.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Flag, Flags};

/// Settings given on the command line; they win over variables and the file.
#[derive(Debug, Clone, Args)]
pub(super) struct Settings {
    /// Configuration file; default: /etc/plimsoll/plimsoll.toml, else ~/.config/plimsoll/plimsoll.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the history and of the server's socket
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) data_dir: Option<String>,
    /// Any setting by its name in the file, such as collect.scrape=5s
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// Filled by commands that have these flags.
    #[arg(skip)]
    pub(super) targets: Vec<String>,
    #[arg(skip)]
    pub(super) listen: Option<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .ok_or_else(|| "write KEY=VALUE, such as collect.scrape=5s".to_owned())
}

impl Settings {
    /// Whether `--set` names this key.
    pub(super) fn sets(&self, key: &str) -> bool {
        self.set.iter().any(|(name, _)| name == key)
    }

    /// As `config` takes them; an own flag wins over `--set` of the same key.
    pub(super) fn flags(&self) -> Flags {
        let own = [("listen", &self.listen), ("data_dir", &self.data_dir)];
        let own = own.into_iter().filter_map(|(key, text)| {
            Some(Flag {
                flag: format!("--{}", key.replace('_', "-")),
                key: key.to_owned(),
                text: text.clone()?,
            })
        });
        let set = self.set.iter().map(|(key, text)| Flag {
            flag: "--set".to_owned(),
            key: key.clone(),
            text: text.clone(),
        });
        Flags {
            config: self.config.clone(),
            targets: self.targets.clone(),
            set: set.chain(own).collect(),
        }
    }
}

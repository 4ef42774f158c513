//! Where settings come from: the command line and the environment. Loading takes both as an argument, so that no test touches the
//! process's environment.

use std::{ffi::OsString, fmt};

/// Where settings come from. Its `Debug` names what is there and shows nothing of it.
#[derive(Clone, Default)]
pub struct Sources {
    /// The command line without the program's name.
    pub args: Vec<OsString>,
    /// The environment.
    pub env: Vec<(String, String)>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Sources").field("args", &self.args.len()).field("env", &names).finish()
    }
}

impl Sources {
    /// This process's own.
    #[must_use]
    pub fn process() -> Self {
        Self {
            args: std::env::args_os().skip(1).collect(),
            env: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
        }
    }
}

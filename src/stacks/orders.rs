//! The newest order to stop a stack, or to start it again. A provider may lose an answer, and does not number orders, so the
//! order stands in the driver's own folder before the provider is asked: by the stack's name, which is given once, because an
//! order may come before the stack. Must not talk to anybody.

use std::{
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{StepError, own_folder};
use crate::machine::StackName;

/// The newest order to stop a stack or to start it again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunOrder {
    /// Its number; 0: there was none.
    pub(super) order: u64,
    /// Nothing of the stack is to run.
    pub(super) stopped: bool,
}

/// The files of the newest orders.
pub(super) struct Orders(PathBuf);

impl Orders {
    pub(super) fn below(folder: &Path) -> Self {
        Self(folder.join("orders"))
    }

    /// The newest order about a stack; one without a number where there was none.
    pub(super) fn newest(&self, name: &StackName) -> Result<RunOrder, StepError> {
        self.of(name).map_err(|error| {
            StepError::Unavailable(format!("whether {name} is to run cannot be read: {error}; nothing was changed"))
        })
    }

    /// The newest order, unless it is one to stop: nothing of such a stack may be created or begun.
    pub(super) fn is_to_run(&self, name: &StackName) -> Result<RunOrder, StepError> {
        let order = self.newest(name)?;
        if !order.stopped {
            return Ok(order);
        }
        Err(StepError::Unavailable(format!(
            "{name} was stopped by order {} and is kept as it is: only a newer order to start it starts it again",
            order.order
        )))
    }

    /// Writes the order down, unless a newer one is known. Returns whether it is the newest now.
    pub(super) fn takes(&self, name: &StackName, order: RunOrder) -> Result<bool, StepError> {
        self.take(name, order).map_err(|error| {
            let number = order.order;
            StepError::Unavailable(format!(
                "order {number} for {name} cannot be written down: {error}; nothing was changed"
            ))
        })
    }

    /// Forgets the orders about a stack that is torn down.
    pub(super) fn forget(&self, name: &StackName) -> Result<(), StepError> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StepError::Unavailable(format!("{name}: its last order cannot be removed: {error}")))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn of(&self, name: &StackName) -> io::Result<RunOrder> {
        match fs::read(self.path(name)) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(RunOrder::default()),
            Err(error) => Err(error),
        }
    }

    fn take(&self, name: &StackName, order: RunOrder) -> io::Result<bool> {
        fs::create_dir_all(&self.0)?;
        // One at a time, whichever controller it is.
        let serial = OpenOptions::new().create(true).truncate(false).write(true).open(self.0.join(".lock"))?;
        serial.lock()?;
        let known = self.of(name)?;
        if known.order >= order.order {
            return Ok(known == order);
        }
        own_folder::write(&self.0, &self.path(name), &serde_json::to_string(&order)?)?;
        Ok(true)
    }

    fn path(&self, name: &StackName) -> PathBuf {
        let StackName { environment, number } = name;
        self.0.join(format!("{}.{}.{number}", environment.pipeline, environment.environment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Number;

    #[test]
    fn no_order_counts_that_is_not_newer_and_each_is_there_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let orders = Orders::below(folder.path());
        let name = StackName { environment: "shop/prod".parse().expect("a name"), number: Number(3) };
        let (stop, start) = (RunOrder { order: 2, stopped: true }, RunOrder { order: 3, stopped: false });
        assert_eq!(orders.of(&name).expect("read"), RunOrder::default());
        for (order, newest) in [(stop, true), (stop, true), (start, true), (stop, false), (start, true)] {
            assert_eq!(orders.take(&name, order).expect("written"), newest, "{order:?}");
        }
        let other = RunOrder { stopped: true, ..start };
        assert!(!orders.take(&name, other).expect("read"), "one number is one order");
        assert_eq!(Orders::below(folder.path()).of(&name).expect("read"), start);
        orders.forget(&name).expect("removed");
        assert_eq!(orders.of(&name).expect("read"), RunOrder::default());
    }
}

//! A state folder in memory, for tests of what stands above the journal. Forgets everything with the process.

use std::{
    collections::BTreeMap,
    io::{self, Cursor},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::storage::{Appender, Reader, Storage};

type Files = BTreeMap<String, Arc<Vec<u8>>>;

/// The folder. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Mutex<Files>>);

impl Memory {
    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for Memory {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.files().keys().cloned().collect())
    }
    fn reader(&self, name: &str) -> io::Result<Box<dyn Reader>> {
        let content = self.files().get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Cursor::new(content.to_vec())))
    }
    fn appender(&self, name: &str) -> io::Result<Box<dyn Appender>> {
        self.files().entry(name.to_owned()).or_default();
        Ok(Box::new(File { folder: self.clone(), name: name.to_owned() }))
    }
    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.files().insert(name.to_owned(), Arc::new(content.to_vec()));
        Ok(())
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.files().remove(name);
        Ok(())
    }
    fn free(&self) -> io::Result<Option<u64>> {
        Ok(None)
    }
    fn load_ballast(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn drop_ballast(&self) -> io::Result<()> {
        Ok(())
    }
}

struct File {
    folder: Memory,
    name: String,
}

impl Appender for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut files = self.folder.files();
        Arc::make_mut(files.get_mut(&self.name).ok_or(io::ErrorKind::NotFound)?).extend_from_slice(bytes);
        Ok(())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut files = self.folder.files();
        let content = Arc::make_mut(files.get_mut(&self.name).ok_or(io::ErrorKind::NotFound)?);
        content.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        Ok(())
    }
}

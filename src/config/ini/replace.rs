//! Replacing a file as a whole: whoever reads it sees the old text or the new one, even after a
//! crash.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::secret::{Secret, hex};

/// A file that is being edited; others that edit files of its directory so wait for the end.
#[derive(Debug)]
pub struct Edited {
    path: PathBuf,
    text: Zeroizing<Vec<u8>>,
    /// None for a new file.
    metadata: Option<Metadata>,
    /// Locked.
    directory: File,
}

impl Edited {
    /// Reads a file, or begins a new one; a symbolic link stays, and its target is edited.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is no file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = match fs::canonicalize(path) {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(error),
        };
        let directory = File::open(directory_of(&path))?;
        directory.lock()?;
        let (metadata, text) = match fs::metadata(&path) {
            Ok(metadata) if !metadata.is_file() => {
                return Err(io::Error::other("it is not a regular file"));
            }
            Ok(metadata) => (Some(metadata), fs::read(&path)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (None, Vec::new()),
            Err(error) => return Err(error),
        };
        Ok(Self { path, text: Zeroizing::new(text), metadata, directory })
    }

    /// What stands in it.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Who may read and write it; `None` for a new file.
    #[must_use]
    pub fn mode(&self) -> Option<u32> {
        self.metadata.as_ref().map(|metadata| metadata.mode() & 0o7777)
    }

    /// Replaces it, keeping mode and owner; a new file is its owner's alone.
    ///
    /// # Errors
    ///
    /// When that cannot be done: then the file is as it was.
    pub fn replace(&self, text: &[u8]) -> io::Result<()> {
        let random = Secret::random().map_err(|error| io::Error::other(error.to_string()))?;
        // No `.ini` at the end: a directory of them is read as configuration.
        let name = format!(".couchgate-{}.tmp", hex(&random.as_bytes()[..8]));
        let beside = directory_of(&self.path).join(name);
        let done = self.write(&beside, text).and_then(|()| fs::rename(&beside, &self.path));
        if done.is_err() {
            // What went wrong is said by the error.
            let _ = fs::remove_file(&beside);
            return done;
        }
        // Where this fails, a crash may bring the old text back, whole.
        let _ = self.directory.sync_all();
        Ok(())
    }

    fn write(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text)?;
        if let Some(old) = &self.metadata {
            let new = file.metadata()?;
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
            file.set_permissions(old.permissions())?;
        }
        file.sync_all()
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

//! The file that holds the master seed: 128 hex digits and a newline, mode 0600.
//!
//! It is written under another name, made durable, and only then linked to its own: a crash leaves
//! no half of a seed, and of two processes the first to link wins and both read its seed.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::{Zeroize, Zeroizing};

use super::SeedError;
use crate::saga::code::Code;

/// Hex digits of a seed.
const DIGITS: usize = 128;
/// Read at most this much: a seed, a line end, and enough to see that there is more.
const READ_LIMIT: u64 = 256;
/// The bits that let others than the owner do anything with the file.
const OTHERS: u32 = 0o077;

/// The seed in the file, which is created when there is none.
pub(super) fn load_or_create(path: &Path) -> Result<Zeroizing<[u8; 64]>, SeedError> {
    if let Some(seed) = load(path)? {
        return Ok(seed);
    }
    create(path)?;
    // Whatever is there now is the seed, even if another process was first.
    load(path)?.ok_or_else(|| io_error(path, "it was removed while it was created"))
}

fn load(path: &Path) -> Result<Option<Zeroizing<[u8; 64]>>, SeedError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path, error)),
    };
    // Asked of the open file, so that it is the file that is read.
    let about = file.metadata().map_err(|e| io_error(path, e))?;
    if !about.is_file() {
        return Err(invalid(path));
    }
    if about.mode() & OTHERS != 0 {
        return Err(mode(path, about.mode()));
    }
    let mut text = Zeroizing::new(Vec::with_capacity(DIGITS + 2));
    let read = Read::by_ref(&mut file).take(READ_LIMIT);
    let mut read = read;
    read.read_to_end(&mut text).map_err(|e| io_error(path, e))?;
    parse(&text).map(Some).ok_or_else(|| invalid(path))
}

fn parse(text: &[u8]) -> Option<Zeroizing<[u8; 64]>> {
    let line = text.strip_suffix(b"\n").unwrap_or(text);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut seed = Zeroizing::new([0u8; 64]);
    hex::decode_to_slice(line, seed.as_mut_slice()).ok()?;
    Some(seed)
}

fn create(path: &Path) -> Result<(), SeedError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let draft = draft_path(path, &folder)?;
    let linked = write_draft(&draft).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let removed = fs::remove_file(&draft);
    linked.map_err(|e| io_error(path, e))?;
    removed.map_err(|e| io_error(&draft, e))?;
    File::open(&folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| io_error(path, e))
}

/// A name beside the seed's that no other process uses.
fn draft_path(path: &Path, folder: &Path) -> Result<PathBuf, SeedError> {
    let mut random = [0u8; 8];
    getrandom::fill(&mut random).map_err(|e| io_error(path, e))?;
    let name = path.file_name().ok_or_else(|| invalid(path))?;
    let name = name.to_string_lossy();
    Ok(folder.join(format!(".{name}.{}.new", hex::encode(random))))
}

fn write_draft(draft: &Path) -> std::io::Result<()> {
    let mut seed = Zeroizing::new([0u8; 64]);
    getrandom::fill(seed.as_mut_slice()).map_err(std::io::Error::other)?;
    let mut text = hex::encode(seed.as_slice());
    text.push('\n');
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    text.zeroize();
    written
}

fn mode(path: &Path, mode: u32) -> SeedError {
    let file = path.display();
    let mode = mode & 0o7777;
    SeedError {
        code: Code::SeedFileMode,
        message: format!(
            "the seed file {file} can be used by others than its owner (mode {mode:04o}): \
             run chmod 600 {file}"
        ),
    }
}

fn invalid(path: &Path) -> SeedError {
    SeedError {
        code: Code::SeedFileInvalid,
        message: format!(
            "the seed file {} must hold {DIGITS} hex digits and nothing else: \
             restore it from your backup",
            path.display()
        ),
    }
}

fn io_error(path: &Path, error: impl std::fmt::Display) -> SeedError {
    SeedError {
        code: Code::ConfigInvalid,
        message: format!(
            "the seed file {} cannot be read or created: {error}",
            path.display()
        ),
    }
}

//! Programs that several benchmarks compare with.

use std::{fs, io::Write, path::Path, time::Instant};

/// What the disk gives: lines appended in groups, one flush a group, nothing else. Lines a second.
pub fn bare(folder: &Path, length: usize, group: u32) -> std::io::Result<f64> {
    let path = folder.join("bare");
    let mut file = fs::File::create(&path)?;
    let lines = vec![b'x'; length * group as usize];
    let (begun, flushes) = (Instant::now(), 500_u32);
    for _ in 0..flushes {
        file.write_all(&lines)?;
        file.sync_data()?;
    }
    let took = begun.elapsed().as_secs_f64();
    fs::remove_file(path)?;
    Ok(f64::from(flushes * group) / took)
}

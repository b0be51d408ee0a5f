//! Programs as sensors and actuators: run without a shell, bounded in time and output.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;

/// What a program prints beyond is not read.
const OUTPUT_BYTES_MAX: u64 = 65_536;

/// Runs a program and gives back what it prints, without the white space around it. Ends it when the time is over, or
/// when nobody waits any more.
pub(crate) async fn output(arguments: &[String], patience: Duration) -> Result<String, String> {
    let Some((program, rest)) = arguments.split_first() else { return Err("no program".to_owned()) };
    let mut child = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    let mut text = Vec::new();
    let stdout = child.stdout.take();
    let work = async {
        if let Some(stdout) = stdout {
            stdout.take(OUTPUT_BYTES_MAX).read_to_end(&mut text).await?;
        }
        child.wait().await
    };
    match timeout(patience, work).await {
        Ok(Ok(status)) if status.success() => Ok(String::from_utf8_lossy(&text).trim().to_owned()),
        Ok(Ok(status)) => Err(format!("{program}: {status}")),
        Ok(Err(error)) => Err(format!("{program}: {error}")),
        Err(_) => Err(format!("{program}: not done in {} ms", patience.as_millis())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(arguments: &[&str], patience_ms: u64) -> Result<String, String> {
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        output(&arguments, Duration::from_millis(patience_ms)).await
    }

    #[tokio::test]
    async fn output_is_trimmed_and_failures_are_named() {
        assert_eq!(run(&["echo", " 21.5 "], 10_000).await, Ok("21.5".to_owned()));
        assert_eq!(run(&["echo", "$HOME;x"], 10_000).await, Ok("$HOME;x".to_owned()), "no shell");
        assert_eq!(run(&["false"], 10_000).await.unwrap_err(), "false: exit status: 1");
        assert_eq!(run(&["sleep", "60"], 20).await.unwrap_err(), "sleep: not done in 20 ms");
        let missing = run(&["/nonexistent/program"], 1000).await.unwrap_err();
        assert!(missing.starts_with("/nonexistent/program: No such file"), "{missing}");
    }

    #[tokio::test]
    async fn output_has_a_bound() {
        // a program that is cut off may complain about it
        let printed = run(&["head", "-c", "65536", "/dev/zero"], 10_000).await.unwrap();
        assert_eq!(printed.len(), 65_536);
        assert!(run(&["head", "-c", "10000000", "/dev/zero"], 10_000).await.is_err());
    }
}

//! Lines of a GPIO chip, through Linux's character device: for machines without a GrovePi.
//!
//! A line is asked for when it is first used, and again after a failure; it is given back with its holder.

use crate::config::GpioLine;

/// A line that is read.
#[derive(Debug)]
pub(crate) struct GpioInput {
    line: GpioLine,
    request: Option<Request>,
}

/// A line that is driven. In the end it is driven to its safe level.
#[derive(Debug)]
pub(crate) struct GpioOutput {
    line: GpioLine,
    safe: bool,
    request: Option<Request>,
}

impl GpioInput {
    pub(crate) fn new(line: GpioLine) -> Self {
        Self { line, request: None }
    }

    pub(crate) fn read(&mut self) -> Result<bool, String> {
        let request = match self.request.take() {
            Some(request) => request,
            None => Request::input(&self.line)?,
        };
        let level = request.level(&self.line)?;
        self.request = Some(request);
        Ok(level)
    }
}

impl GpioOutput {
    pub(crate) fn new(line: GpioLine, safe: bool) -> Self {
        Self { line, safe, request: None }
    }

    pub(crate) fn set(&mut self, high: bool) -> Result<(), String> {
        match self.request.take() {
            Some(request) => {
                request.set(&self.line, high)?;
                self.request = Some(request);
            }
            None => self.request = Some(Request::output(&self.line, high)?),
        }
        Ok(())
    }
}

impl Drop for GpioOutput {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            // a chip that is gone needs no safety
            drop(request.set(&self.line, self.safe));
        }
    }
}

#[cfg(target_os = "linux")]
use linux::Request;

#[cfg(target_os = "linux")]
mod linux {
    use gpiocdev::line::{Bias as LineBias, Value};
    use gpiocdev::request::Builder;

    use crate::config::{Bias, GpioLine};

    #[derive(Debug)]
    pub(super) struct Request(gpiocdev::Request);

    impl Request {
        pub(super) fn input(line: &GpioLine) -> Result<Self, String> {
            Self::of(line, |builder| builder.as_input())
        }

        pub(super) fn output(line: &GpioLine, high: bool) -> Result<Self, String> {
            Self::of(line, |builder| builder.as_output(value(high)))
        }

        pub(super) fn level(&self, line: &GpioLine) -> Result<bool, String> {
            let level = self.0.value(line.line).map_err(|error| named(line, &error))?;
            Ok(level == Value::Active)
        }

        pub(super) fn set(&self, line: &GpioLine, high: bool) -> Result<(), String> {
            self.0.set_value(line.line, value(high)).map_err(|error| named(line, &error))
        }

        fn of(line: &GpioLine, direction: impl FnOnce(&mut Builder) -> &mut Builder) -> Result<Self, String> {
            let mut builder = gpiocdev::Request::builder();
            builder.on_chip(&line.chip).with_consumer("grovemq").with_line(line.line);
            let bias = match line.bias {
                Bias::AsIs => None,
                Bias::Off => Some(LineBias::Disabled),
                Bias::PullUp => Some(LineBias::PullUp),
                Bias::PullDown => Some(LineBias::PullDown),
            };
            let request = direction(&mut builder).with_bias(bias).request();
            request.map(Self).map_err(|error| named(line, &error))
        }
    }

    fn value(high: bool) -> Value {
        if high { Value::Active } else { Value::Inactive }
    }

    fn named(line: &GpioLine, error: &gpiocdev::Error) -> String {
        format!("{} line {}: {error}", line.chip.display(), line.line)
    }
}

#[cfg(not(target_os = "linux"))]
use elsewhere::Request;

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use crate::config::GpioLine;

    /// There is none.
    #[derive(Debug)]
    pub(super) enum Request {}

    impl Request {
        pub(super) fn input(_: &GpioLine) -> Result<Self, String> {
            Err("GPIO lines can be used on Linux only".to_owned())
        }

        pub(super) fn output(line: &GpioLine, _: bool) -> Result<Self, String> {
            Self::input(line)
        }

        pub(super) fn level(&self, _: &GpioLine) -> Result<bool, String> {
            match *self {}
        }

        pub(super) fn set(&self, _: &GpioLine, _: bool) -> Result<(), String> {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Bias;

    #[test]
    fn a_chip_that_is_not_there_is_named_each_time() {
        let line = || GpioLine { chip: "/nonexistent/gpiochip9".into(), line: 3, bias: Bias::PullUp };
        let mut input = GpioInput::new(line());
        let mut output = GpioOutput::new(line(), false);
        for _ in 0..2 {
            let error = input.read().unwrap_err();
            assert!(error.contains("gpiochip9 line 3: ") || !cfg!(target_os = "linux"), "{error}");
            assert!(output.set(true).is_err());
        }
    }
}

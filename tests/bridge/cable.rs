//! A cable between two brokers that can be cut, pulled out and put in again.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

pub(crate) struct Cable {
    port: u16,
    state: Arc<State>,
}

struct State {
    plugged: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Cable {
    /// A cable to this port.
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let own = listener.local_addr().unwrap().port();
        let state = Arc::new(State { plugged: AtomicBool::new(true), streams: Mutex::default() });
        let theirs = state.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                if !theirs.plugged.load(Ordering::Acquire) {
                    continue;
                }
                let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    theirs.streams.lock().unwrap().push(from.try_clone().unwrap());
                    std::thread::spawn(move || pass_on(from, to));
                }
            }
        });
        Self { port: own, state }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Breaks the connections there are.
    pub(crate) fn cut(&self) {
        for stream in self.state.streams.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// The same, and there are no new ones.
    pub(crate) fn pull(&self) {
        self.state.plugged.store(false, Ordering::Release);
        self.cut();
    }

    pub(crate) fn put_in(&self) {
        self.state.plugged.store(true, Ordering::Release);
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Both).ok();
    from.shutdown(Shutdown::Both).ok();
}

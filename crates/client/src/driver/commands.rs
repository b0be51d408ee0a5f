//! What the handles ask for.

use super::Task;
use crate::{
    Error, Event, Message, ReasonCode, Received, Subscribe, Unsubscribe,
    handle::{Command, Reply},
    replies::{Waiting, answer},
    streams::Streams,
};

impl Task {
    pub(super) fn command(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Publish(message, None) => {
                // Whoever sends without a reply has said that the outcome does not matter.
                let _unheard = self.protocol.publish(now, message, None);
            }
            Command::Publish(message, Some(reply)) => {
                let token = self.replies.add(Waiting::Publication(reply));
                if let Err(error) = self.protocol.publish(now, message, Some(token)) {
                    self.replies.published(token, Err(error));
                }
            }
            Command::Subscribe(request, reply) => {
                let token = self.replies.add(Waiting::Subscription(reply));
                self.subscribe(request, token);
            }
            Command::Stream(subscription, reply) => {
                let reader = self.streams.open(&subscription.filter, self.options.events_bytes_max);
                self.reclaim(&subscription.filter);
                let token = self.replies.add(Waiting::Stream(reader, reply));
                self.subscribe(
                    Subscribe { subscriptions: vec![subscription], ..Subscribe::default() },
                    token,
                );
            }
            Command::Request(message, reply) => self.request(message, reply),
            Command::Unsubscribe(request, reply) => {
                let token = self.replies.add(Waiting::Subscription(reply));
                if let Err(error) = self.protocol.unsubscribe(now, request, token) {
                    self.replies.subscribed(token, Err(error));
                }
            }
            Command::Ack(token) => self.protocol.ack(now, token),
            Command::AuthenticateAnew(reply) => self.authenticate_anew(reply),
            Command::Auth(reason, data, reply) => {
                answer(reply, self.protocol.auth(now, reason, data.as_deref()).map_err(Error::from));
            }
            Command::Disconnect(request, reply) => {
                self.goodbyes.push(reply);
                self.end_soon(request);
            }
        }
    }

    /// Gives up a subscription that nobody reads any more. Nobody waits for the answer, and if there is no room for the
    /// question the subscription stays, its messages being events like others.
    pub(super) fn abandon(&mut self, filter: String) {
        let token = self.replies.nobody();
        let request = Unsubscribe { filters: vec![filter], user: Vec::new() };
        let _too_many_wait = self.protocol.unsubscribe(self.now(), request, token);
    }

    /// Moves messages that wait among the events to the stream that was opened for them.
    fn reclaim(&mut self, filter: &str) {
        let wanted =
            |event: &Event| matches!(event, Event::Message(m) if Streams::claims(filter, &m.message.topic));
        for event in self.sink.take_back(wanted) {
            if let Event::Message(received) = event {
                self.streams.route(received);
            }
        }
        self.streams.flush();
    }

    fn subscribe(&mut self, request: Subscribe, token: u64) {
        if let Err(error) = self.protocol.subscribe(self.now(), request, token) {
            self.replies.subscribed(token, Err(error));
        }
    }

    /// Sends a message that says where its answer is to go. The subscription for answers leaves before it.
    fn request(&mut self, mut message: Message, reply: Reply<Received>) {
        let (number, correlation) = match self.replies.inbox.expect(reply) {
            Ok(expected) => expected,
            Err((error, reply)) => return answer(reply, Err(error)),
        };
        if let Some(wanted) = self.replies.inbox.wants_subscription() {
            let token = self.replies.add(Waiting::Inbox);
            self.subscribe(wanted, token);
        }
        message.properties.response_topic = Some(self.replies.inbox.topic().to_owned());
        message.properties.correlation_data = Some(correlation);
        let token = self.replies.add(Waiting::Request(number));
        if let Err(error) = self.protocol.publish(self.now(), message, Some(token)) {
            self.replies.published(token, Err(error));
        }
    }

    /// Authenticates anew; the reply comes when the server has agreed.
    fn authenticate_anew(&mut self, reply: Reply<()>) {
        let now = self.now();
        let Some(scram) = &mut self.scram else {
            return answer(reply, Err(Error::Invalid("nothing to authenticate with")));
        };
        if !self.protocol.is_online() || scram.is_waiting() {
            return answer(reply, Err(Error::Invalid("not connected, or already authenticating")));
        }
        let begun = scram
            .begin(self.options.protocol.version)
            .and_then(|first| Ok(self.protocol.auth(now, ReasonCode::ReAuthenticate, Some(&first))?));
        match begun {
            Ok(()) => scram.wait(reply),
            Err(error) => answer(reply, Err(error)),
        }
    }
}

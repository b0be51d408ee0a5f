//! The configuration with its templates filled in: what the thing publishes and obeys at its place.

use grovemq_client::{Options, Qos, Reconnect, Subscription, Version, Will, topic};
use std::time::Duration;

use crate::availability;
use crate::config::{Actuator, Broker, Config, Input, Output, Sensor};
use crate::resource::{Drive, Probe};
use crate::run::Error;
use crate::topic::{Place, Template};

/// First and longest pause before another attempt at a connection.
const RECONNECT: Reconnect = Reconnect::Backoff { min: Duration::from_secs(1), max: Duration::from_secs(15) };
/// How long good-bye may take.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// What `{name}` is in the topics of the thing itself.
const THING: &str = "thing";

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) broker: Broker,
    pub(crate) client_id: String,
    pub(crate) availability: String,
    pub(crate) sensors: Vec<PlannedSensor>,
    pub(crate) actuators: Vec<PlannedActuator>,
}

#[derive(Clone, Debug)]
pub(crate) struct PlannedSensor {
    pub(crate) name: String,
    pub(crate) input: Input,
    pub(crate) topic: String,
    pub(crate) interval: Duration,
    pub(crate) qos: Qos,
    pub(crate) retain: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct PlannedActuator {
    pub(crate) name: String,
    pub(crate) output: Output,
    pub(crate) filters: Vec<String>,
    pub(crate) qos: Qos,
}

impl Plan {
    pub(crate) fn new(config: Config, place: &Place) -> Result<Self, Error> {
        let default_id = Template::of_client(config.address.is_some());
        let client_id = filled(config.broker.client_id.as_ref().unwrap_or(&default_id), place, THING)?;
        Ok(Self {
            client_id,
            broker: config.broker,
            availability: name_at(&config.availability, place, THING)?,
            sensors: config
                .sensors
                .into_iter()
                .map(|sensor| PlannedSensor::new(sensor, place))
                .collect::<Result<_, _>>()?,
            actuators: config
                .actuators
                .into_iter()
                .map(|actuator| PlannedActuator::new(actuator, place))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Each resource and what it has to do with which topic, for the log.
    pub(crate) fn topics(&self) -> impl Iterator<Item = (&str, String)> {
        let sensors = self.sensors.iter().map(|s| (s.name.as_str(), format!("publishes to {}", s.topic)));
        let actuators =
            self.actuators.iter().map(|a| (a.name.as_str(), format!("follows {}", a.filters.join(", "))));
        sensors.chain(actuators)
    }

    /// The version to begin with.
    pub(crate) fn first_version(&self) -> Version {
        self.broker.version.unwrap_or(Version::V5)
    }

    pub(crate) fn probes(&self) -> Vec<Probe> {
        self.sensors.iter().filter_map(|sensor| sensor.input.probe()).collect()
    }

    /// All outputs in their safe state.
    pub(crate) fn safe_drives(&self) -> Vec<Drive> {
        self.actuators.iter().map(|actuator| actuator.output.safe()).collect()
    }

    /// What to subscribe to: each filter once, with the highest quality of service asked for.
    pub(crate) fn subscriptions(&self) -> Vec<Subscription> {
        let mut subscriptions: Vec<Subscription> = Vec::new();
        for actuator in &self.actuators {
            for filter in &actuator.filters {
                match subscriptions.iter_mut().find(|known| known.filter == *filter) {
                    Some(known) => known.options.qos = known.options.qos.max(actuator.qos),
                    None => subscriptions.push(Subscription::new(filter.as_str(), actuator.qos)),
                }
            }
        }
        subscriptions
    }

    pub(crate) fn client_options(&self, version: Version) -> Options {
        let Broker { host, port, username, password, keep_alive, .. } = &self.broker;
        let will =
            Will { message: availability::message(&self.availability, availability::OFFLINE), delay: None };
        let options = Options::new(host, *port)
            .version(version)
            .client_id(&self.client_id)
            .keep_alive(*keep_alive)
            .will(will)
            .reconnect(RECONNECT)
            .disconnect_timeout(DISCONNECT_TIMEOUT);
        match username {
            Some(username) => {
                let password = password.as_ref().map(|password| password.0.clone().into_bytes());
                options.credentials(username, password)
            }
            None => options,
        }
    }
}

impl PlannedSensor {
    fn new(sensor: Sensor, place: &Place) -> Result<Self, Error> {
        let Sensor { name, input, topic, interval, qos, retain } = sensor;
        Ok(Self { topic: name_at(&topic, place, &name)?, name, input, interval, qos, retain })
    }
}

impl PlannedActuator {
    fn new(actuator: Actuator, place: &Place) -> Result<Self, Error> {
        let Actuator { name, output, subscribe, qos } = actuator;
        let filters =
            subscribe.iter().map(|template| filter_at(template, place, &name)).collect::<Result<_, _>>()?;
        Ok(Self { name, output, filters, qos })
    }

    /// Whether a message on this topic is for the actuator.
    pub(crate) fn listens_to(&self, name: &str) -> bool {
        self.filters.iter().any(|filter| {
            let inner =
                topic::parse_shared(filter).ok().flatten().map_or(filter.as_str(), |(_, inner)| inner);
            topic::matches(inner, name)
        })
    }
}

/// A topic to publish to.
fn name_at(template: &Template, place: &Place, resource: &str) -> Result<String, Error> {
    let text = filled(template, place, resource)?;
    match topic::validate_name(&text) {
        Ok(()) => Ok(text),
        Err(_) => Err(Error::TopicName { resource: resource.to_owned(), topic: text }),
    }
}

/// A filter to subscribe to.
fn filter_at(template: &Template, place: &Place, resource: &str) -> Result<String, Error> {
    let text = filled(template, place, resource)?;
    match topic::validate_filter(&text) {
        Ok(()) => Ok(text),
        Err(_) => Err(Error::TopicFilter { resource: resource.to_owned(), filter: text }),
    }
}

fn filled(template: &Template, place: &Place, resource: &str) -> Result<String, Error> {
    template.fill(place, resource).map_err(|source| Error::Place { resource: resource.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::tests::place;

    fn plan(text: &str) -> Result<Plan, Error> {
        Plan::new(Config::parse(text, "test").unwrap(), &place("127.0.0.2"))
    }

    #[test]
    fn the_default_thing_has_the_topics_of_the_lab() {
        let plan = plan("").unwrap();
        let topics: Vec<_> = plan.sensors.iter().map(|sensor| sensor.topic.as_str()).collect();
        assert_eq!(
            topics,
            ["127.0.0.2/sensors/button0", "127.0.0.2/sensors/potentiometer0", "127.0.0.2/stuff/clock0"]
        );
        let filters: Vec<_> = plan.actuators.iter().flat_map(|actuator| &actuator.filters).collect();
        assert_eq!(filters, ["127.0.0.2/sensors/button0", "127.0.0.2/sensors/potentiometer0"]);
        assert_eq!(plan.availability, "127.0.0.2/availability");
        assert_eq!((plan.probes().len(), plan.safe_drives().len()), (2, 2));
    }

    #[test]
    fn the_client_id_is_unique_by_interface_or_address() {
        assert_eq!(plan("").unwrap().client_id, "thing-pi-eth0");
        assert_eq!(plan("[thing]\naddress = '127.0.0.2'").unwrap().client_id, "thing-pi-127.0.0.2");
        assert_eq!(plan("[broker]\nclient_id = 'x-{mac}'").unwrap().client_id, "x-b8:27:eb:00:00:01");
    }

    #[test]
    fn illegal_topics_are_refused_with_the_resource() {
        for (text, expected) in [
            (
                "[[sensor]]\nkind='clock'\nname='c'\ntopic='a/+/b'",
                "c: `a/+/b` is no topic that can be published to",
            ),
            (
                "[[actuator]]\nkind='led'\nname='l'\npin='D4'\nsubscribe=['a/#/b']",
                "l: `a/#/b` is no topic that can be subscribed to",
            ),
            (
                "[[sensor]]\nkind='clock'\nname='c'\ntopic='{ip:eth9}'",
                "c: no network interface eth9 with an address; there are: eth0, wlan0, lo",
            ),
        ] {
            assert_eq!(plan(text).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn filters_route_and_are_subscribed_once() {
        let text = "[[actuator]]\nkind='led'\nname='a'\npin='D4'\nsubscribe=['+/sensors/button0', 'all/#']\n\
                    [[actuator]]\nkind='led'\nname='b'\npin='D2'\nsubscribe=['all/#', '$share/g/x/y']\nqos=1";
        let plan = plan(text).unwrap();
        let subscriptions: Vec<_> =
            plan.subscriptions().into_iter().map(|s| (s.filter, s.options.qos)).collect();
        assert_eq!(
            subscriptions,
            [
                ("+/sensors/button0".to_owned(), Qos::AtMostOnce),
                ("all/#".to_owned(), Qos::AtLeastOnce),
                ("$share/g/x/y".to_owned(), Qos::AtLeastOnce),
            ]
        );
        let listeners = |topic: &str| -> Vec<_> {
            plan.actuators.iter().filter(|a| a.listens_to(topic)).map(|a| a.name.clone()).collect()
        };
        assert_eq!(listeners("127.0.0.3/sensors/button0"), ["a"]);
        assert_eq!(listeners("all/of/you"), ["a", "b"]);
        assert_eq!(listeners("x/y"), ["b"]);
        assert!(listeners("127.0.0.3/sensors/button1").is_empty());
    }
}

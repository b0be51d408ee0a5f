//! The configuration with its templates filled in: what the thing publishes and obeys at its place.

use grovemq_client::{Options, Reconnect, Subscription, Tls, Transport, Version, WebSocket, Will, topic};
use std::time::Duration;

use crate::availability;
use crate::config::{Actuator, Broker, Config, Output, Sensor};
use crate::program;
use crate::resource::{Drive, Probe};
use crate::rule::{Act, Follower};
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
    /// The way to the broker, with the files of its certificates read.
    transport: Transport,
    pub(crate) client_id: String,
    pub(crate) availability: String,
    /// The first levels of Home Assistant's discovery topics.
    pub(crate) discovery: Option<String>,
    pub(crate) sensors: Vec<PlannedSensor>,
    pub(crate) actuators: Vec<PlannedActuator>,
}

#[derive(Clone, Debug)]
pub(crate) struct PlannedSensor {
    pub(crate) sensor: Sensor,
    pub(crate) topic: String,
}

#[derive(Clone, Debug)]
pub(crate) struct PlannedActuator {
    pub(crate) actuator: Actuator,
    pub(crate) filters: Vec<String>,
}

impl Plan {
    pub(crate) fn new(config: Config, place: &Place) -> Result<Self, Error> {
        let default_id = Template::of_client(config.address.is_some());
        let client_id = filled(config.broker.client_id.as_ref().unwrap_or(&default_id), place, THING)?;
        let discovery = config.home_assistant.as_ref().map(|home| name_at(&home.prefix, place, THING));
        Ok(Self {
            client_id,
            transport: transport(&config.broker).map_err(Error::Client)?,
            broker: config.broker,
            discovery: discovery.transpose()?,
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
        let sensors = self
            .sensors
            .iter()
            .map(|PlannedSensor { sensor, topic }| (sensor.name.as_str(), format!("publishes to {topic}")));
        let actuators = self.actuators.iter().map(|PlannedActuator { actuator, filters }| {
            (actuator.name.as_str(), format!("follows {}", filters.join(", ")))
        });
        sensors.chain(actuators)
    }

    /// The version to begin with.
    pub(crate) fn first_version(&self) -> Version {
        self.broker.version.unwrap_or(Version::V5)
    }

    pub(crate) fn probes(&self) -> Vec<Probe> {
        self.sensors.iter().filter_map(|planned| planned.sensor.input.probe()).collect()
    }

    /// All outputs of the board in their safe state.
    pub(crate) fn safe_drives(&self) -> Vec<Drive> {
        let safe = self.actuators.iter().map(|planned| Follower::new(&planned.actuator).safe());
        safe.filter_map(|act| if let Act::Board(drive) = act { Some(drive) } else { None }).collect()
    }

    /// Runs the programs that have to be run at the end. What fails now fails for good.
    pub(crate) async fn run_safe_programs(&self) {
        for PlannedActuator { actuator, .. } in &self.actuators {
            if let (Output::Command(program), Act::Run(arguments)) =
                (&actuator.output, Follower::new(actuator).safe())
            {
                drop(program::output(&arguments, program.timeout).await);
            }
        }
    }

    /// What to subscribe to: each filter once, with the highest quality of service asked for.
    pub(crate) fn subscriptions(&self) -> Vec<Subscription> {
        let mut subscriptions: Vec<Subscription> = Vec::new();
        for PlannedActuator { actuator, filters } in &self.actuators {
            for filter in filters {
                match subscriptions.iter_mut().find(|known| known.filter == *filter) {
                    Some(known) => known.options.qos = known.options.qos.max(actuator.qos),
                    None => subscriptions.push(Subscription::new(filter.as_str(), actuator.qos)),
                }
            }
        }
        subscriptions
    }

    pub(crate) fn client_options(&self, version: Version) -> Options {
        let Broker { username, password, keep_alive, bind_address, .. } = &self.broker;
        let will =
            Will { message: availability::message(&self.availability, availability::OFFLINE), delay: None };
        let options = Options::over(self.transport.clone())
            .version(version)
            .client_id(&self.client_id)
            .keep_alive(*keep_alive)
            .will(will)
            .reconnect(RECONNECT)
            .disconnect_timeout(DISCONNECT_TIMEOUT);
        let options = match bind_address {
            Some(address) => options.bind_address(*address),
            None => options,
        };
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
        Ok(Self { topic: name_at(&sensor.topic, place, &sensor.name)?, sensor })
    }
}

impl PlannedActuator {
    fn new(actuator: Actuator, place: &Place) -> Result<Self, Error> {
        let filters = actuator.subscribe.iter().map(|template| filter_at(template, place, &actuator.name));
        Ok(Self { filters: filters.collect::<Result<_, _>>()?, actuator })
    }

    /// The first filter that a message on this topic is for.
    pub(crate) fn listens_to(&self, name: &str) -> Option<usize> {
        self.filters.iter().position(|filter| {
            let inner =
                topic::parse_shared(filter).ok().flatten().map_or(filter.as_str(), |(_, inner)| inner);
            topic::matches(inner, name)
        })
    }
}

fn transport(broker: &Broker) -> Result<Transport, grovemq_client::Error> {
    let mut transport = Transport::tcp(&broker.host, broker.port);
    if let Some(tls) = &broker.tls {
        let mut builder = Tls::builder();
        if let Some(file) = &tls.ca_file {
            builder = builder.ca_file(file);
        }
        if let Some((certificate, key)) = &tls.certificate {
            builder = builder.client_certificate(certificate, key);
        }
        if let Some(name) = &tls.server_name {
            builder = builder.server_name(name);
        }
        if tls.any_name {
            builder = builder.without_host_name_check();
        }
        transport = transport.tls(builder.build()?);
    }
    if let Some(path) = &broker.websocket {
        transport = transport.websocket(WebSocket::new(path)?);
    }
    Ok(transport)
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
    use grovemq_client::Qos;

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
            let listening = plan.actuators.iter().filter(|a| a.listens_to(topic).is_some());
            listening.map(|a| a.actuator.name.clone()).collect()
        };
        assert_eq!(listeners("127.0.0.3/sensors/button0"), ["a"]);
        assert_eq!(listeners("all/of/you"), ["a", "b"]);
        assert_eq!(listeners("x/y"), ["b"]);
        assert!(listeners("127.0.0.3/sensors/button1").is_empty());
    }
}

"""What a program written with paho-mqtt does with a broker: `paho_dialogue.py 4|5 PORT`.

Each check raises if it fails. The exit code is 0 and the last line says so if all is well."""

import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

VERSION, PORT = int(sys.argv[1]), int(sys.argv[2])
V5 = VERSION == 5
SECONDS = 10


class Client:
    """A connected client whose events stand in queues."""

    def __init__(self, name, clean=True, session_expiry=None, will=None, **connect):
        kind = {} if V5 else {"clean_session": clean}
        self.paho = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=VERSION, **kind)
        self.messages, self.acks, self.connects, self.ends = (queue.Queue() for _ in range(4))
        self.paho.on_connect = lambda _c, _d, flags, reason, props: self.connects.put((flags, reason, props))
        self.paho.on_disconnect = lambda _c, _d, _f, reason, props: self.ends.put((reason, props))
        self.paho.on_message = lambda _c, _d, message: self.messages.put(message)
        self.paho.on_subscribe = lambda _c, _d, mid, reasons, props: self.acks.put((mid, reasons))
        self.paho.on_unsubscribe = lambda _c, _d, mid, reasons, props: self.acks.put((mid, reasons))
        if will:
            self.paho.will_set(*will)
        if V5:
            connect["clean_start"] = clean
            connect["properties"] = Properties(PacketTypes.CONNECT)
            if session_expiry is not None:
                connect["properties"].SessionExpiryInterval = session_expiry
        self.paho.connect("127.0.0.1", PORT, keepalive=30, **connect)
        self.paho.loop_start()
        self.flags, reason, self.properties = self.connects.get(timeout=SECONDS)
        assert reason == 0, f"{name} is refused: {reason}"

    def subscribe(self, *args, **kwargs):
        result, mid = self.paho.subscribe(*args, **kwargs)
        assert result == mqtt.MQTT_ERR_SUCCESS
        got, reasons = self.acks.get(timeout=SECONDS)
        assert got == mid
        return [reason.value for reason in reasons]

    def unsubscribe(self, topic):
        _, mid = self.paho.unsubscribe(topic)
        got, reasons = self.acks.get(timeout=SECONDS)
        assert got == mid
        return reasons

    def publish(self, topic, payload, qos=0, retain=False, **kwargs):
        info = self.paho.publish(topic, payload, qos, retain, **kwargs)
        info.wait_for_publish(SECONDS)
        assert info.is_published(), f"no acknowledgement for {topic}"

    def expect(self, topic, payload, qos=0, retain=False):
        message = self.messages.get(timeout=SECONDS)
        got = (message.topic, message.payload.decode(), message.qos, message.retain)
        assert got == (topic, payload, qos, retain), f"got {got}, expected {(topic, payload, qos, retain)}"
        return message

    def expect_nothing(self, seconds=0.4):
        try:
            message = self.messages.get(timeout=seconds)
        except queue.Empty:
            return
        raise AssertionError(f"unexpected: {message.topic} {message.payload}")

    def leave(self):
        self.paho.disconnect()
        self.ends.get(timeout=SECONDS)
        self.paho.loop_stop()

    def die(self):
        """The connection ends without a DISCONNECT."""
        self.paho.loop_stop()
        self.paho._sock_close()


def qualities():
    publisher, subscriber = Client("qualities-from"), Client("qualities-to")
    for asked in range(3):
        assert subscriber.subscribe("q/+", asked) == [asked]
        for sent in range(3):
            publisher.publish(f"q/{sent}", "x", sent)
            subscriber.expect(f"q/{sent}", "x", min(asked, sent))
    assert subscriber.subscribe([("m/1", 0), ("m/2", 2)]) == [0, 2]
    subscriber.unsubscribe("q/+")
    publisher.publish("q/0", "unheard", 1)
    subscriber.expect_nothing()
    for client in (publisher, subscriber):
        client.leave()


def order():
    publisher, subscriber = Client("order-from"), Client("order-to")
    subscriber.subscribe("o", 2)
    for number in range(300):
        publisher.paho.publish("o", str(number), 2)
    for number in range(300):
        subscriber.expect("o", str(number), 2)
    for client in (publisher, subscriber):
        client.leave()


def retained():
    client = Client("retained")
    client.publish("r/a", "kept", 1, True)
    client.subscribe("r/#", 1)
    client.expect("r/a", "kept", 1, True)
    client.publish("r/a", "live", 1, True)
    client.expect("r/a", "live", 1, False)
    client.publish("r/a", "", 1, True)
    client.expect("r/a", "", 1, False)
    client.unsubscribe("r/#")
    client.subscribe("r/#", 1)
    client.expect_nothing()
    client.leave()


def will():
    witness = Client("witness")
    witness.subscribe("w/#", 1)
    Client("leaves", will=("w/leaves", "gone", 1)).leave()
    Client("dies", will=("w/dies", "gone", 1)).die()
    witness.expect("w/dies", "gone", 1)
    witness.expect_nothing()
    witness.leave()


def durable_session():
    durable = {"clean": False, "session_expiry": 60 if V5 else None}
    first = Client("durable", **durable)
    assert not first.flags.session_present
    first.subscribe("d", 1)
    first.leave()
    publisher = Client("durable-from")
    for number in range(5):
        publisher.publish("d", str(number), 1)
    second = Client("durable", **durable)
    assert second.flags.session_present
    for number in range(5):
        second.expect("d", str(number), 1)
    second.leave()
    assert not Client("durable", clean=True).flags.session_present
    publisher.leave()


def take_over():
    first = Client("same")
    first.paho.reconnect_delay_set(30, 30)
    second = Client("same")
    # paho does not read the reason of a DISCONNECT without properties
    first.ends.get(timeout=SECONDS)
    first.paho.loop_stop()
    second.leave()


def large():
    client = Client("large")
    client.subscribe("l", 2)
    payload = "x" * 500_000
    client.publish("l", payload, 2)
    client.expect("l", payload, 2)
    client.leave()


def properties_of_5():
    publisher, subscriber = Client("p5-from"), Client("p5-to")
    numbered = Properties(PacketTypes.SUBSCRIBE)
    numbered.SubscriptionIdentifier = 9
    subscriber.subscribe("p/#", options=SubscribeOptions(qos=1), properties=numbered)
    sent = Properties(PacketTypes.PUBLISH)
    sent.ContentType, sent.ResponseTopic, sent.CorrelationData = "text/plain", "answer", b"\x00\x01"
    sent.PayloadFormatIndicator, sent.MessageExpiryInterval = 1, 60
    sent.UserProperty = [("name", "one"), ("name", "two")]
    publisher.publish("p/a", "x", 1, properties=sent)
    got = subscriber.expect("p/a", "x", 1).properties
    assert (got.ContentType, got.ResponseTopic, got.CorrelationData) == ("text/plain", "answer", b"\x00\x01")
    assert got.PayloadFormatIndicator == 1 and 0 < got.MessageExpiryInterval <= 60
    assert got.UserProperty == [("name", "one"), ("name", "two")]
    assert got.SubscriptionIdentifier == [9]
    for client in (publisher, subscriber):
        client.leave()


def options_of_5():
    client = Client("o5")
    client.publish("so/r", "kept", 1, True)
    client.subscribe("so/#", options=SubscribeOptions(qos=1, noLocal=True, retainHandling=2))
    client.publish("so/own", "x", 1)
    client.expect_nothing()
    client.unsubscribe("so/#")
    client.subscribe("so/#", options=SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=0))
    client.expect("so/r", "kept", 1, True)
    client.publish("so/r", "again", 1, True)
    client.expect("so/r", "again", 1, True)
    client.leave()


def aliases_of_5():
    publisher, subscriber = Client("alias-from"), Client("alias-to")
    assert publisher.properties.TopicAliasMaximum > 0
    subscriber.subscribe("alias", 1)
    alias = Properties(PacketTypes.PUBLISH)
    alias.TopicAlias = 1
    publisher.publish("alias", "1", 1, properties=alias)
    publisher.publish("", "2", 1, properties=alias)
    subscriber.expect("alias", "1", 1)
    subscriber.expect("alias", "2", 1)
    for client in (publisher, subscriber):
        client.leave()


def assigned_id_of_5():
    client = Client("")
    assert client.properties.AssignedClientIdentifier
    client.leave()


def shared_of_5():
    members = [Client(f"member-{number}") for number in range(2)]
    for member in members:
        member.subscribe("$share/g/s", 1)
    publisher = Client("shared-from")
    for number in range(10):
        publisher.publish("s", str(number), 1)
    got = []
    while len(got) < 10:
        for member in members:
            while not member.messages.empty():
                got.append(int(member.messages.get().payload))
    assert sorted(got) == list(range(10)), got
    for client in [publisher, *members]:
        client.leave()


CHECKS = [qualities, order, retained, will, durable_session, take_over, large]
CHECKS_OF_5 = [properties_of_5, options_of_5, aliases_of_5, assigned_id_of_5, shared_of_5]

for check in CHECKS + (CHECKS_OF_5 if V5 else []):
    check()
    print(check.__name__, "is well")
print("all is well")

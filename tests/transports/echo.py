"""Messages of many sizes go to the broker and come back whole. Arguments: transport, port, and a CA file for TLS."""

import hashlib
import sys
import threading

import paho.mqtt.client as mqtt

SIZES = [0, 1, 100, 125, 126, 4096, 65535, 65536, 300000, 1500000]

transport, port = sys.argv[1], int(sys.argv[2])
got, done, subscribed = [], threading.Event(), threading.Event()
payloads = [(bytes(range(256)) * (n // 256 + 1))[:n] for n in SIZES]


def on_message(client, userdata, message):
    got.append(hashlib.sha256(message.payload).digest())
    if len(got) == len(SIZES):
        done.set()


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="paho", transport=transport)
if len(sys.argv) > 3:
    client.tls_set(ca_certs=sys.argv[3])
client.on_message = on_message
client.on_subscribe = lambda *_: subscribed.set()
client.on_connect = lambda c, *_: c.subscribe("echo", 2)
client.connect("localhost", port)
client.loop_start()
assert subscribed.wait(10), "no SUBACK"
for payload in payloads:
    client.publish("echo", payload, 2)
assert done.wait(20), f"{len(got)} of {len(SIZES)} came back"
assert got == [hashlib.sha256(p).digest() for p in payloads], "not what was sent"
client.disconnect()
client.loop_stop()
print("all is well")

"""A thing with a button and an LED, as the laboratory's Python template behaves on the wire: changes are published with
QoS 0 and not retained, the LED takes True and False only, and the end is an orderly one.

original_thing.py PORT ADDRESS TOPIC: its button is ADDRESS/sensors/button0, its LED follows TOPIC. The button is pressed
and released by words on standard input; the LED is a line on standard output."""

import queue
import signal
import sys
import threading
import time

import paho.mqtt.client as mqtt

POLL_S = 0.15
CLOCK_S = 2.0

port, address, followed = int(sys.argv[1]), sys.argv[2], sys.argv[3]
stop = threading.Event()
words = queue.Queue()


def say(text):
    print(text, flush=True)


def on_connect(client, userdata, flags, reason, properties):
    client.subscribe(followed, qos=0)


def on_subscribe(client, userdata, mid, reasons, properties):
    say("subscribed")


def on_message(client, userdata, message):
    states = {b"True": "led0 on", b"False": "led0 off"}
    say(states.get(message.payload, f"led0 ignores {message.payload!r}"))


def read_words():
    for line in sys.stdin:
        words.put(line.strip())


def poll_button(client):
    pressed = before = False
    while not stop.wait(POLL_S):
        while not words.empty():
            pressed = words.get() == "press"
        if pressed != before:
            client.publish(f"{address}/sensors/button0", str(pressed), qos=0, retain=False)
            before = pressed


def tell_time(client):
    while not stop.wait(CLOCK_S):
        client.publish(f"{address}/stuff/clock0", time.strftime("%Y-%m-%d %H:%M:%S"))


signal.signal(signal.SIGINT, lambda number, frame: stop.set())
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"original-{address}")
client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
client.connect("127.0.0.1", port, keepalive=60)
client.loop_start()
threads = [threading.Thread(target=poll_button, args=[client]), threading.Thread(target=tell_time, args=[client])]
for thread in threads:
    thread.start()
threading.Thread(target=read_words, daemon=True).start()
while not stop.wait(0.1):
    pass
for thread in threads:
    thread.join()
say("led0 off")
client.unsubscribe(followed)
client.disconnect()
client.loop_stop()
say("ended")

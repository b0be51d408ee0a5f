// Messages of many sizes go to the broker and come back whole. Arguments: URL, and a CA file for TLS.
const { createHash } = require('node:crypto')
const { readFileSync } = require('node:fs')
const mqtt = require('mqtt')

const sizes = [0, 1, 100, 125, 126, 4096, 65535, 65536, 300000, 1500000]
const [url, ca] = process.argv.slice(2)
const payloads = sizes.map((n) => Buffer.alloc(n, 'grove'))
const digest = (bytes) => createHash('sha256').update(bytes).digest('hex')
const got = []

const fail = (what) => {
  console.error(what)
  process.exit(1)
}
setTimeout(() => fail(`${got.length} of ${sizes.length} came back`), 20000)

const client = mqtt.connect(url, { clientId: 'mqttjs', protocolVersion: 5, reconnectPeriod: 0, ca: ca && readFileSync(ca) })
client.on('error', (e) => fail(String(e)))
client.on('connect', () => {
  client.subscribe('echo', { qos: 2 }, () => payloads.forEach((p) => client.publish('echo', p, { qos: 2 })))
})
client.on('message', (_, payload) => {
  got.push(digest(payload))
  if (got.length < sizes.length) return
  if (got.join() !== payloads.map(digest).join()) fail('not what was sent')
  client.end(false, {}, () => {
    console.log('all is well')
    process.exit(0)
  })
})

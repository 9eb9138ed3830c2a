"""The only package that talks to RabbitMQ: connection, topology, confirms, depth.

`adapter.RabbitBroker` implements `engine.ports.Broker`; everything else here is a part of it. Nothing outside this
package sees a pika object or a URL of the broker's HTTP API.
"""

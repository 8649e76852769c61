"""A real Home Assistant core without its web server, with the MQTT integration on a broker. Each line on standard input is answered by one
line of JSON: the devices of that integration, their entities, and their states.

core.py CONFIG_FOLDER BROKER_HOST BROKER_PORT USER PASSWORD
"""
import asyncio
import json
import logging
import os
import sys

from homeassistant import config_entries, core, loader
from homeassistant.const import EVENT_HOMEASSISTANT_START
from homeassistant.helpers import (
    area_registry,
    device_registry,
    entity,
    entity_registry,
    floor_registry,
    issue_registry,
    label_registry,
    restore_state,
    translation,
)

logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
folder, host, port, user, password = sys.argv[1:6]


def picture(hass, entry_id):
    """What a person sees in Home Assistant."""
    devices = device_registry.async_get(hass)
    entities = entity_registry.async_get(hass)
    shown = []
    for device in device_registry.async_entries_for_config_entry(devices, entry_id):
        via = devices.async_get(device.via_device_id) if device.via_device_id else None
        own = []
        for found in entity_registry.async_entries_for_device(entities, device.id, include_disabled_entities=True):
            state = hass.states.get(found.entity_id)
            own.append(
                {
                    "entity_id": found.entity_id,
                    "unique_id": found.unique_id,
                    "category": found.entity_category,
                    "state": state and state.state,
                    "attributes": json.loads(json.dumps(dict(state.attributes), default=str)) if state else {},
                }
            )
        shown.append(
            {
                "identifiers": sorted(value for _, value in device.identifiers),
                "connections": sorted(list(pair) for pair in device.connections),
                "name": device.name,
                "manufacturer": device.manufacturer,
                "model": device.model,
                "firmware": device.sw_version,
                "via": via and via.name,
                "entities": sorted(own, key=lambda each: each["unique_id"]),
            }
        )
    return sorted(shown, key=lambda each: each["identifiers"])


async def main():
    open(os.path.join(folder, "configuration.yaml"), "w").close()
    hass = core.HomeAssistant(folder)
    hass.config.skip_pip = True
    hass.config.config_dir = folder
    loader.async_setup(hass)
    hass.config_entries = config_entries.ConfigEntries(hass, {})
    entity.async_setup(hass)
    translation.async_setup(hass)
    for registry in (area_registry, device_registry, entity_registry, floor_registry, issue_registry, label_registry, restore_state):
        await registry.async_load(hass)
    await hass.config_entries.async_initialize()
    # The web server and its uploads are not needed.
    hass.config.components.update({"http", "file_upload"})
    entry = config_entries.ConfigEntry(
        version=1,
        minor_version=1,
        domain="mqtt",
        title="broker",
        source=config_entries.SOURCE_USER,
        data={"broker": host, "port": int(port), "username": user, "password": password, "discovery": True},
    )
    await hass.config_entries.async_add(entry)
    hass.set_state(core.CoreState.running)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_START)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        print(json.dumps({"entry": str(entry.state), "devices": picture(hass, entry.entry_id)}), flush=True)
    await hass.async_stop(force=True)


asyncio.run(main())

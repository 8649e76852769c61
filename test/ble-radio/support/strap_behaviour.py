"""How a virtual strap differs from a common one: its advertisements, its GATT table, and the answers that it gives.

Options of `add` (beside those of hr_farm.py):
 address         'D0:..'; top bits 11: static random, 01: resolvable
 kind            'ind' (default), 'scan' or 'nonconn': the type of its advertisements; op `kind` changes it
 accepts         false: advertises as connectable, but no connection is ever established
 adv, scan_rsp   AD structures as hex, in place of the usual ones
 adv_ms          advertising interval
 gatt_name       its Device Name (0x2A00), in place of `name`
 values, repeat  values of 0x2A37 (hex) that are notified in turn, and how often each
 uuid128         services and 0x2A37 in the 128-bit form, in advertisements and GATT
 indicates       0x2A37 indicates instead of notifying
 force           notifies even if nobody subscribed
 no_hrs          no heart rate service
 decoy           a first heart rate service whose 0x2A37 only can be read
 smp             'refuse' (pairing), 'silent'
 drops           {afterS, reason}: it ends each link so many seconds after the connect
 att             rules for requests, the first that matches applies; see `Rules`
"""
import asyncio
from bumble import att, hci
from bumble.gatt import Characteristic, Service
from bumble.core import UUID
from bumble.pairing import PairingConfig, PairingDelegate

BASE = '-0000-1000-8000-00805F9B34FB'
KINDS = {'ind': 0, 'scan': 2, 'nonconn': 3}
ATT_CID, SMP_CID = 4, 6

def wide(uuid):
    return UUID(f'0000{uuid.to_hex_str()}{BASE}') if len(uuid.uuid_bytes) == 2 else uuid

class Rules:
    """A rule: {on, error?, answer?, silent?, delay?, times?, until?, also?}
     on      mtu, services, characteristics, descriptors, name (a read by the type 0x2A00), cccd (a write to that of 0x2A37), read,
             write, any
     error   answers this ATT error; answer: these bytes (hex); silent: nothing; delay: seconds before the usual answer; ends: the
             link is ended instead
     times   applies so many times; until: 'encrypted' applies until the link is
     also    PDUs (hex) that are sent before the answer
    """
    def __init__(self, peripheral, rules):
        self.p, self.rules = peripheral, [dict(rule) for rule in rules]
        self.usual = peripheral.dev.gatt_server.on_gatt_pdu
        peripheral.dev.gatt_server.on_gatt_pdu = self.on_pdu
    def name(self, pdu):
        raw = bytes(pdu)
        if raw[0] == 0x08: return {b'\x03\x28': 'characteristics', b'\x00\x2a': 'name'}.get(raw[5:7], 'descriptors')
        if raw[0] == 0x12: return 'cccd' if int.from_bytes(raw[1:3], 'little') == self.p.handles()['cccd'] else 'write'
        return {0x02: 'mtu', 0x04: 'descriptors', 0x0a: 'read', 0x0c: 'read', 0x10: 'services'}.get(raw[0], 'other')
    def on_pdu(self, connection, pdu):
        name = self.name(pdu)
        for rule in self.rules:
            if rule['on'] not in (name, 'any') or rule.get('times') == 0: continue
            if rule.get('until') == 'encrypted' and connection.is_encrypted: continue
            if 'times' in rule: rule['times'] -= 1
            return self.apply(rule, connection, pdu)
        self.usual(connection, pdu)
    def apply(self, rule, connection, pdu):
        send = lambda raw: self.p.dev.gatt_server.send_gatt_pdu(connection, raw)
        for raw in rule.get('also', []): send(self.p.bytes(raw))
        def answer():
            if connection.handle not in self.p.dev.connections: return
            if rule.get('ends'): asyncio.ensure_future(connection.disconnect(0x13))
            elif 'error' in rule: send(bytes([1, pdu.op_code]) + bytes(pdu)[1:3].ljust(2, b'\0') + bytes([rule['error']]))
            elif 'answer' in rule: send(self.p.bytes(rule['answer']))
            elif not rule.get('silent'): self.usual(connection, pdu)
        if rule.get('delay'): asyncio.get_running_loop().call_later(rule['delay'], answer)
        else: answer()

def shape_services(p, services):
    """Changes the services before they are added to the device."""
    o, hrm = p.o, p.hrs.heart_rate_measurement_characteristic
    if o.get('indicates'): hrm.properties = Characteristic.Properties.INDICATE
    if o.get('uuid128'):
        hrm.uuid = hrm.type = wide(hrm.uuid)
        p.hrs.uuid = wide(p.hrs.uuid); p.hrs.value = p.hrs.uuid.to_pdu_bytes()
    if o.get('no_hrs'): services = [s for s in services if s is not p.hrs]
    if o.get('decoy'):
        read_only = Characteristic(UUID.from_16_bits(0x2A37), Characteristic.Properties.READ, Characteristic.READABLE, b'\x00\x00')
        services = [Service(UUID.from_16_bits(0x180D), [read_only]), *services]
    return services

def shape_device(p):
    """Changes the device after its services were added."""
    o = p.o
    # Without a name Bumble would give it one of its own.
    device_name = next(a for a in p.dev.gatt_server.attributes if getattr(a, 'uuid', None) == UUID.from_16_bits(0x2A00))
    device_name.value = o.get('gatt_name', p.name).encode()
    if o.get('att'): Rules(p, o['att'])
    if o.get('smp') == 'refuse':
        class Refuses(PairingDelegate):
            async def accept(self): return False
        p.dev.pairing_config_factory = lambda connection: PairingConfig(delegate=Refuses())
    if drops := o.get('drops'):
        def connected(connection):
            end = lambda: connection.handle in p.dev.connections and asyncio.ensure_future(connection.disconnect(drops['reason']))
            asyncio.get_running_loop().call_later(drops['afterS'], end)
        p.dev.on('connection', connected)
    if o.get('smp') == 'silent': p.dev.on_smp_pdu = lambda *a: None; p.dev.smp_manager.on_smp_pdu = lambda *a: None

def advertise(ctl, farm, pdu, seen, filtered):
    """The reports of an advertisement as a controller makes them; returns whether a pending connect may use it."""
    p = next((p for p in farm.p.values() if p.addr == pdu.advertiser_address), None)
    if p is None: return False       # it has vanished; Bumble advertises again when its link ends
    kind = KINDS[p.kind]
    key = (pdu.advertiser_address, kind)
    if ctl.le_scan_enable and not (filtered and key in seen):
        seen.add(key)
        response = p.scan_rsp if p.scan_rsp is not None else pdu.data
        for event, data in ((kind, pdu.data), (4, response)):
            if event == 4 and kind == 3: continue
            ctl.send_hci_packet(hci.HCI_LE_Advertising_Report_Event([hci.HCI_LE_Advertising_Report_Event.Report(
                event_type=event, address_type=pdu.advertiser_address.address_type, address=pdu.advertiser_address,
                data=data, rssi=-50)]))
    return kind == 0 and p.o.get('accepts', True)

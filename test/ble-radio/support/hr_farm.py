"""Bumble virtual radio for tests.
 usage: hr_farm.py HCI_PORT CTL_PORT     (0: any free one; prints READY <hci port> <control port>)
 - HCI_PORT: every TCP client gets a FRESH virtual LE controller (H4 framing both ways); EOF = adapter unplugged.
 - CTL_PORT: JSON-lines control; each request line {op,...} gets one reply line {ok,...}
"""
import asyncio, json, sys, logging
from bumble import hci, ll
from bumble.controller import Controller
from bumble.core import AdvertisingData, UUID
from bumble.device import Device
from bumble.gatt import Characteristic
from bumble.hci import Address
from bumble.host import Host
from bumble.link import LocalLink
from bumble.transport.common import AsyncPipeSink, PacketParser
from bumble.profiles.heart_rate_service import HeartRateService
from bumble.profiles.battery_service import BatteryService
from bumble.profiles.device_information_service import DeviceInformationService
import bumble.logging
from strap_behaviour import advertise, shape_device, shape_services, wide
HRM = HeartRateService.HeartRateMeasurement
log = logging.getLogger('farm')

class ExtController(Controller):
    """Controller handed to an external host (noble); fixes gaps of the stock Bumble Controller."""
    def __init__(self, *a, **k):
        super().__init__(*a, **k)
        self.random_address = self.public_address      # LocalLink.send_acl_data() uses random_address as source
        self.seen = set()
    def on_hci_reset_command(self, c):
        self.le_scan_enable = False; self.pending_le_connection = None; self.seen.clear(); self.stuck = False
        self.drop_all(notify_host=False)
        return super().on_hci_reset_command(c)
    def allocate_connection_handle(self):
        used = {c.handle for c in self.le_connections.values()}
        return next(h for h in range(0, 0xEFF) if h not in used)   # like Zephyr/nRF: first handle is 0
    def create_le_connection(self, a):
        super().create_le_connection(a)
        if self.farm.fault.get('conn_3e') and (conn := self.le_connections.get(a)):   # failed to be established
            def fail():
                peer = self.link.find_le_controller(a)
                if pc := peer and peer.le_connections.get(self.public_address): peer.on_le_disconnected(pc, 0x3E)
                if self.le_connections.get(a) is conn: self.on_le_disconnected(conn, 0x3E)
            asyncio.get_running_loop().call_later(0.05, fail)
    def on_hci_le_create_connection_command(self, c):
        self.sup_ms = c.supervision_timeout * 10   # hci field is in 10 ms units
        if getattr(self, 'stuck', False): return self._send_hci_command_status(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR, c.op_code)
        most = self.farm.fault.get('max_links')    # link limit: 0x09 in the status, or 0x0d in the event
        if most is not None and len(self.le_connections) >= most:
            self.farm.refusals += 1
            if self.farm.fault.get('limit_in') == 'event':
                self._send_hci_command_status(hci.HCI_COMMAND_STATUS_PENDING, c.op_code)
                self.send_hci_packet(hci.HCI_LE_Connection_Complete_Event(status=0x0d, connection_handle=0, role=0,
                    peer_address_type=c.peer_address.address_type, peer_address=c.peer_address, connection_interval=0,
                    peripheral_latency=0, supervision_timeout=0, central_clock_accuracy=0))
            else: self._send_hci_command_status(0x09, c.op_code)
            return None
        return super().on_hci_le_create_connection_command(c)
    def on_hci_le_set_scan_parameters_command(self, c):
        if self.farm.fault.get('scan_disallowed'): return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        return super().on_hci_le_set_scan_parameters_command(c)
    def on_hci_le_set_scan_enable_command(self, c):
        if self.farm.fault.get('scan_disallowed'): return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        self.seen.clear()
        return super().on_hci_le_set_scan_enable_command(c)
    def on_advertising_pdu(self, pdu):                  # honour filter_duplicates like real silicon, by address and type
        a, p = pdu.advertiser_address, self.pending_le_connection
        connectable = advertise(self, self.farm, pdu, self.seen, self.filter_duplicates and FILTER)
        if p and p.peer_address == a and connectable: self.create_le_connection(a)
    def on_hci_le_create_connection_cancel_command(self, c):
        p, self.pending_le_connection = self.pending_le_connection, None
        if not p: return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        asyncio.get_running_loop().call_soon(self.send_hci_packet, hci.HCI_LE_Connection_Complete_Event(
            status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR, connection_handle=0, role=0,
            peer_address_type=p.peer_address.address_type, peer_address=p.peer_address, connection_interval=0,
            peripheral_latency=0, supervision_timeout=0, central_clock_accuracy=0))
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)
    def on_hci_read_rssi_command(self, c):
        ok = self.find_le_connection_by_handle(c.handle) is not None
        return hci.HCI_Read_RSSI_ReturnParameters(
            status=hci.HCI_ErrorCode(0 if ok else 2), handle=c.handle, rssi=-50)
    def on_hci_disconnect_command(self, c):
        conn = self.find_le_connection_by_handle(c.connection_handle)
        if conn and not self.link.find_le_controller(conn.peer_address):   # peer vanished: complete locally
            self._send_hci_command_status(hci.HCI_COMMAND_STATUS_PENDING, c.op_code)
            self.on_le_disconnected(conn, hci.HCI_ErrorCode.CONNECTION_TERMINATED_BY_LOCAL_HOST_ERROR); return
        if not conn:
            self._send_hci_command_status(hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR, c.op_code); return
        self._send_hci_command_status(hci.HCI_COMMAND_STATUS_PENDING, c.op_code)
        conn.send_ll_control_pdu(ll.TerminateInd(c.reason))
        self.on_le_disconnected(conn, 0x16)            # local host sees 'terminated by local host'
    def drop_all(self, notify_host, reason=0x08):
        for conn in list(self.le_connections.values()):
            if peer := self.link.find_le_controller(conn.peer_address):
                if pc := peer.le_connections.get(conn.self_address): peer.on_le_disconnected(pc, reason)
            if notify_host: self.on_le_disconnected(conn, reason)
            else: self.le_connections.pop(conn.peer_address, None)

class Peripheral:
    def __init__(self, farm, id, **o):
        self.farm, self.id, self.o = farm, id, o
        self.addr = Address(o.get('address') or f'C0:00:00:00:00:{id:02X}')
        self.name = o.get('name', f'HR{id}'); self.batt = o.get('battery', 87)
        self.m = HRM(o.get('bpm', 60 + id), o.get('contact', True), None, o.get('rr'))
        self.resets = self.battery_reads = 0
        self.values, self.beat = o.get('values'), 0      # notified in turn, as hex
        self.kind = o.get('kind', 'ind'); self.scan_rsp = bytes.fromhex(o['scan_rsp']) if 'scan_rsp' in o else None
    def handles(self):
        hrm = self.hrs.heart_rate_measurement_characteristic.handle
        return {'hrm': hrm, 'cccd': hrm + 1}             # bumble adds the descriptor right after the value
    def bytes(self, text):                               # '1b{hrm}0648' with the handle in place of {hrm}
        for name, handle in self.handles().items(): text = text.replace('{' + name + '}', handle.to_bytes(2, 'little').hex())
        return bytes.fromhex(text)
    async def start(self):
        self.ctl = Controller(f'P{self.id}', link=self.farm.link)
        self.dev = Device(name=self.name, address=self.addr, host=Host(self.ctl, AsyncPipeSink(self.ctl)))
        self.hrs = HeartRateService(lambda _c: self.m, HeartRateService.BodySensorLocation(self.o.get('loc', 1)),
            (lambda _c: self.reset()) if self.o.get('energy', True) else None)
        self.bat = BatteryService(lambda _c: self.read_battery())
        if not self.o.get('battery_notifies', True):
            self.bat.battery_level_characteristic.properties &= ~Characteristic.Properties.NOTIFY
        svcs = [DeviceInformationService(manufacturer_name='ACME', model_number='HR-102', firmware_revision='1.2'), self.hrs]
        if self.batt is not None: svcs.append(self.bat)
        self.dev.add_services(shape_services(self, svcs)); shape_device(self)
        if self.o.get('adv_uuid', True):
            uuid = UUID.from_16_bits(0x180D)
            uu = [(AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS, bytes(wide(uuid))) if self.o.get('uuid128')
                  else (AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS, bytes(uuid))]
        else: uu = []
        self.dev.advertising_data = bytes(AdvertisingData([(AdvertisingData.FLAGS, b'\x06'), *uu,
            *([(AdvertisingData.COMPLETE_LOCAL_NAME, self.name.encode())] if self.name else [])]))
        if 'adv' in self.o: self.dev.advertising_data = bytes.fromhex(self.o['adv'])
        await self.dev.power_on(); await self.adv(True)
        self.task = asyncio.create_task(self.pump()) if self.o.get('period', 1) else None
    def reset(self): self.resets += 1
    def read_battery(self): self.battery_reads += 1; return self.batt
    async def adv(self, on):
        ms = self.o.get('adv_ms', 100)
        if on: await self.dev.start_advertising(auto_restart=True, advertising_interval_min=ms, advertising_interval_max=ms)
        else: await self.dev.stop_advertising()
    async def pump(self):
        while True:
            await asyncio.sleep(self.o.get('period', 1))
            for _ in range(self.o.get('repeat', 1)):     # 2: each notification twice
                await self.notify(bytes.fromhex(self.values[self.beat % len(self.values)]) if self.values else None)
            self.beat += bool(self.dev.connections)
    async def notify(self, raw=None):
        hrm = self.hrs.heart_rate_measurement_characteristic
        if self.o.get('force'):
            value = raw if raw is not None else bytes(self.m)
            for conn in list(self.dev.connections.values()):
                self.dev.gatt_server.send_gatt_pdu(conn, b'\x1b' + hrm.handle.to_bytes(2, 'little') + value)
        elif self.o.get('indicates'): asyncio.ensure_future(self.dev.indicate_subscribers(hrm, raw))
        else: await self.dev.notify_subscribers(hrm, raw)
    def vanish(self):
        """Battery pulled / out of range: no TerminateInd; centrals notice after their supervision timeout."""
        if self.task: self.task.cancel()
        self.ctl.le_legacy_advertiser.stop()
        if self.ctl in self.farm.link.controllers: self.farm.link.remove_controller(self.ctl)
        for c in self.farm.ext:
            if conn := c.le_connections.get(self.addr):
                to = getattr(c, 'sup_ms', 420) / 1000
                asyncio.get_running_loop().call_later(to, lambda c=c, conn=conn:
                    c.le_connections.get(self.addr) is conn and c.on_le_disconnected(conn, 0x08))
    async def terminate(self, reason=0x13):
        for conn in list(self.dev.connections.values()): await conn.disconnect(reason)

class Farm:
    def __init__(self):
        self.link, self.ext, self.p, self.n, self.fault, self.refusals = LocalLink(), [], {}, 0, {}, 0
        self.public = self.flooding = None               # address of the adapters to come; the flood in progress
    async def flood(self, rate, name='Stranger', start=0):
        """New addresses per second that advertise a heart rate and accept no connection."""
        n, began = start, asyncio.get_running_loop().time()
        data = b'\x02\x01\x06\x03\x03\x0d\x18' + bytes([len(name) + 1, 9]) + name.encode()
        while True:
            await asyncio.sleep(0.02)
            due = start + int((asyncio.get_running_loop().time() - began) * rate)
            for n in range(n, due):
                events = b''
                for kind, shown in ((0, data), (4, b'')):    # ADV_IND and its scan response: noble waits for that
                    report = bytes([kind, 1]) + n.to_bytes(4, 'little') + b'\xad\xde' + bytes([len(shown)]) + shown + b'\xc4'
                    events += bytes([4, 0x3e, len(report) + 2, 2, 1]) + report
                for c in self.ext:
                    if c.le_scan_enable and c.writer: c.writer.write(events)
            n = due
            self.flooded = n
    async def hci_client(self, r, w):
        self.n += 1
        class Sink:
            def on_packet(_, pkt): w.write(pkt)
        ctl = ExtController(f'EXT{self.n}', host_sink=Sink(), link=self.link,
            public_address=Address(self.public or f'11:22:33:44:55:{self.n & 255:02X}', Address.PUBLIC_DEVICE_ADDRESS))
        parser = PacketParser(ctl); self.ext.append(ctl); ctl.writer = w; ctl.farm = self
        try:
            while data := await r.read(4096): parser.feed_data(data)
        except ConnectionError: pass
        finally:
            self.ext.remove(ctl); ctl.drop_all(False); self.link.remove_controller(ctl); ctl.hci_sink = None; w.close()
    def pty(self, path):                                 # for drivers that want a serial port (H4 over 'UART')
        import os, tty
        m, s = os.openpty(); tty.setraw(m); tty.setraw(s); os.set_blocking(m, False)
        if os.path.islink(path): os.unlink(path)
        os.symlink(os.ttyname(s), path)
        class Sink:
            def on_packet(_, pkt): os.write(m, pkt)
        self.n += 1
        ctl = ExtController('PTY', host_sink=Sink(), link=self.link,
            public_address=Address(f'11:22:33:44:55:{self.n & 255:02X}', Address.PUBLIC_DEVICE_ADDRESS))
        ctl.farm = self; ctl.writer = None; self.ext.append(ctl); parser = PacketParser(ctl)
        def rd():
            try: parser.feed_data(os.read(m, 4096))
            except Exception as e: log.warning('pty %r', e); parser.reset()
        asyncio.get_running_loop().add_reader(m, rd); self._s = s
    async def op(self, q):
        op = q.pop('op'); id = q.pop('id', None); p = self.p.get(id)
        if op == 'add': self.p[id] = Peripheral(self, id, **q); await self.p[id].start()
        elif op == 'hr': p.m = HRM(q.get('bpm', 60), q.get('contact'), q.get('energy'), q.get('rr')); await p.notify()
        elif op == 'raw': await p.notify(bytes.fromhex(q['hex']))
        elif op == 'level': p.batt = q['level']          # changes without a notification
        elif op == 'batt': p.batt = q['level']; await p.dev.notify_subscribers(p.bat.battery_level_characteristic)
        elif op == 'adv': await p.adv(q['on'])
        elif op == 'kind': p.kind = q['kind']            # type of its advertisements: ind, scan, nonconn
        elif op == 'pdu':                                # these bytes on an L2CAP channel (4 ATT, 5 signaling, 6 SMP)
            for conn in list(p.dev.connections.values()): p.dev.send_l2cap_pdu(conn.handle, q.get('cid', 4), p.bytes(q['hex']))
        elif op == 'data':                               # new advertising data, scan response or name
            if 'adv' in q: p.ctl.le_legacy_advertiser.advertising_data = bytes.fromhex(q['adv'])
            if 'scan_rsp' in q: p.scan_rsp = bytes.fromhex(q['scan_rsp'])
        elif op == 'quiet':                              # sends nothing by itself any more
            if p.task: p.task.cancel()
        elif op == 'forget': p.dev.gatt_server.subscribers.clear()   # loses its subscriptions, as after a change of its services
        elif op == 'terminate': await p.terminate(q.get('reason', 0x13))
        elif op == 'vanish': p.vanish(); self.p.pop(id)
        elif op == 'public': self.public = q['address']   # of the adapters that are plugged in from now on
        elif op == 'flood':                              # rate 0 ends it
            if self.flooding: self.flooding.cancel(); self.flooding = None
            if q['rate']: self.flooding = asyncio.create_task(self.flood(q['rate'], q.get('name', 'Stranger'), getattr(self, 'flooded', 0)))
        elif op == 'unplug':
            for c in list(self.ext): c.writer.close()
        elif op == 'fault': self.fault = q
        elif op == 'stick':                              # adapters receive, but refuse every connect until reset
            for c in self.ext: c.stuck = True
        elif op == 'mute':                               # controller goes silent for p's ACL (peer stops answering ATT)
            p.ctl.on_link_acl_data = (lambda *a: None) if q['on'] else type(p.ctl).on_link_acl_data.__get__(p.ctl)
        elif op == 'state':
            return {'refusals': self.refusals,
                    'ext': [{'addr': str(c.public_address), 'scan': c.le_scan_enable, 'pending': bool(c.pending_le_connection),
                             'conns': [str(a) for a in c.le_connections]} for c in self.ext],
                    'periph': {k: {'adv': v.ctl.le_legacy_advertiser.enabled, 'conns': len(v.dev.connections),
                    'resets': v.resets, 'battery_reads': v.battery_reads, 'handles': v.handles()} for k, v in self.p.items()}}
        else: raise ValueError(op)
        return {}
    async def ctl_client(self, r, w):
        while line := await r.readline():
            try: out = {'ok': True, **(await self.op(json.loads(line)))}
            except Exception as e: out = {'ok': False, 'error': repr(e)}
            w.write(json.dumps(out).encode() + b'\n')
        w.close()

async def main():
    f = Farm()
    hci_server = await asyncio.start_server(f.hci_client, '127.0.0.1', int(sys.argv[1]))
    ctl_server = await asyncio.start_server(f.ctl_client, '127.0.0.1', int(sys.argv[2]))
    hci_port, ctl_port = (server.sockets[0].getsockname()[1] for server in (hci_server, ctl_server))
    if '--pty' in sys.argv: f.pty(sys.argv[sys.argv.index('--pty') + 1])
    print(f'READY {hci_port} {ctl_port}', flush=True); await asyncio.get_running_loop().create_future()
FILTER = '--no-filter' not in sys.argv
bumble.logging.setup_basic_logging('DEBUG' if '-v' in sys.argv else 'WARNING')
asyncio.run(main())

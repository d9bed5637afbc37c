/* SPDX-License-Identifier: MIT */
/*
 * The kernel's sample mtty (samples/vfio-mdev/mtty.c, Linux 6.12): an mdev with one or two serial ports that loop what
 * is written back to the reader. It keeps its state over close, checks a stream's header while it is written but loads
 * it whatever came of that, and takes VFIO_DEVICE_RESET without saying so.
 */
#include "profile.h"
#include "uapi/vfio.h"
#include "wire.h"

#define MAGIC 0x7e9d09898c3e2c4eull
#define MAJOR 1u
#define MINOR 0u
#define HEADER_BYTES 24u
#define PORT_BYTES 36u
#define FIFO 16u
#define CONFIG_BYTES 0xffu

/* registers of a 16550 */
enum { UART_DATA, UART_IER, UART_FCR, UART_LCR, UART_MCR, UART_LSR, UART_MSR, UART_SCR };
#define IER_RDI 0x01u
#define IER_THRI 0x02u
#define IER_RLSI 0x04u
#define IER_MSI 0x08u
#define IIR_MSI 0x00u
#define IIR_NO_INT 0x01u
#define IIR_THRI 0x02u
#define IIR_RDI 0x04u
#define IIR_RLSI 0x06u
#define FCR_ENABLE 0x01u
#define FCR_CLEAR 0x06u
#define LCR_DLAB 0x80u
#define MCR_DTR_RTS 0x03u
#define MCR_OUT2 0x08u
#define MCR_AFE 0x20u
#define LSR_DATA_READY 0x01u
#define LSR_OVERRUN 0x02u
#define LSR_EMPTY 0x60u
#define MSR_LINES 0xa2u /* DSR, its change, carrier */
#define MSR_CTS 0x11u

_Static_assert(sizeof(struct sim_mtty_port) == PORT_BYTES, "a port is on the stream as it is in memory");

static void mtty_new(struct sim_device *dev)
{
	static const uint8_t marks[] = { 0x23, 0, 0, 0x80, 0x23, 0, 0, 0, 0x23, 0, 0, 0, 0x23 };
	uint8_t *config = dev->config;

	memset(&dev->u.mtty, 0, sizeof(dev->u.mtty));
	dev->u.mtty.ports[0].max_fifo_size = FIFO;
	dev->u.mtty.ports[1].max_fifo_size = FIFO;
	memset(config, 0, sizeof(dev->config));
	vfmi_put_le32(config, 0x32534348);
	vfmi_put_le16(config + 0x04, 0x0001);
	vfmi_put_le16(config + 0x06, 0x0200);
	vfmi_put_le32(config + 0x08, 0x07000210);
	vfmi_put_le32(config + 0x10, 1);
	vfmi_put_le32(config + 0x14, dev->ports > 1 ? 1 : 0);
	vfmi_put_le32(config + 0x2c, 0x32534348);
	config[0x3d] = 1;
	memcpy(config + 0x40, marks, sizeof(marks));
	memcpy(config + 0x60, "PCI Serial/UART", 15);
}

/* ports; indexes are masked since a stream may have loaded anything */

static bool fifo_empty(const struct sim_mtty_port *port)
{
	return port->head == port->tail;
}

static void transmit(struct vfm_sim *sim, struct sim_device *dev, struct sim_mtty_port *port, uint8_t data)
{
	if (port->dlab) {
		port->divisor |= data;
		return;
	}
	if (port->count >= port->max_fifo_size) {
		port->overrun = 1;
		if (port->reg[UART_IER] & IER_RLSI)
			vfmi_sim_irq_simple(sim, dev);
		return;
	}
	port->fifo[port->head % FIFO] = data;
	port->count++;
	port->head = (port->head + 1) % FIFO;
	port->overrun = 0;
	if ((port->reg[UART_IER] & IER_RDI) && port->count == port->trigger_level)
		vfmi_sim_irq_simple(sim, dev);
}

static void write_fcr(struct sim_mtty_port *port, uint8_t data)
{
	port->fcr = data;
	if (data & FCR_CLEAR)
		port->count = port->head = port->tail = 0;
	port->trigger_level = 1;
	port->max_fifo_size = data & FCR_ENABLE ? FIFO : 1;
}

static void write_ier(struct vfm_sim *sim, struct sim_device *dev, struct sim_mtty_port *port, uint8_t data)
{
	if (port->dlab) {
		port->divisor |= (uint16_t)(data << 8);
		return;
	}
	port->reg[UART_IER] = data;
	if ((data & IER_THRI) && fifo_empty(port))
		vfmi_sim_irq_simple(sim, dev);
}

static void write_mcr(struct vfm_sim *sim, struct sim_device *dev, struct sim_mtty_port *port, uint8_t data)
{
	port->reg[UART_MCR] = data;
	if (!(port->reg[UART_IER] & IER_MSI))
		return;
	if (data & MCR_OUT2)
		vfmi_sim_irq_simple(sim, dev);
	if (data & MCR_DTR_RTS)
		vfmi_sim_irq_simple(sim, dev);
}

static void port_write(struct vfm_sim *sim, struct sim_device *dev, struct sim_mtty_port *port, uint64_t at,
		       uint8_t data)
{
	switch (at) {
	case UART_DATA:
		transmit(sim, dev, port, data);
		break;
	case UART_IER:
		write_ier(sim, dev, port, data);
		break;
	case UART_FCR:
		write_fcr(port, data);
		break;
	case UART_LCR:
		port->dlab = !!(data & LCR_DLAB);
		if (port->dlab)
			port->divisor = 0;
		port->reg[UART_LCR] = data;
		break;
	case UART_MCR:
		write_mcr(sim, dev, port, data);
		break;
	case UART_SCR:
		port->reg[UART_SCR] = data;
		break;
	default:
		break;
	}
}

static uint8_t receive(struct vfm_sim *sim, struct sim_device *dev, struct sim_mtty_port *port)
{
	uint8_t data = 0;

	if (port->dlab)
		return (uint8_t)port->divisor;
	if (!fifo_empty(port)) {
		data = port->fifo[port->tail % FIFO];
		port->count--;
		port->tail = (port->tail + 1) % FIFO;
	}
	if (fifo_empty(port) && (port->reg[UART_IER] & IER_THRI))
		vfmi_sim_irq_simple(sim, dev);
	return data;
}

static uint8_t read_iir(const struct sim_mtty_port *port)
{
	uint8_t ier = port->reg[UART_IER], iir = 0;

	if ((ier & IER_RLSI) && port->overrun)
		iir |= IIR_RLSI;
	if ((ier & IER_RDI) && port->count >= port->trigger_level)
		iir |= IIR_RDI;
	if ((ier & IER_THRI) && fifo_empty(port))
		iir |= IIR_THRI;
	if ((ier & IER_MSI) && (port->reg[UART_MCR] & MCR_DTR_RTS))
		iir |= IIR_MSI;
	return (iir ? iir : IIR_NO_INT) | 0xc0;
}

static uint8_t read_lsr(const struct sim_mtty_port *port)
{
	return (uint8_t)((fifo_empty(port) ? LSR_EMPTY : LSR_DATA_READY) | (port->overrun ? LSR_OVERRUN : 0));
}

static uint8_t read_msr(const struct sim_mtty_port *port)
{
	bool full = (port->reg[UART_MCR] & MCR_AFE) && port->count >= port->max_fifo_size;

	return (uint8_t)(MSR_LINES | (full ? 0 : MSR_CTS));
}

static uint8_t port_read(struct vfm_sim *sim, struct sim_device *dev, struct sim_mtty_port *port, uint64_t at)
{
	switch (at) {
	case UART_DATA:
		return receive(sim, dev, port);
	case UART_IER:
		return port->dlab ? (uint8_t)(port->divisor >> 8) : port->reg[UART_IER] & 0x0f;
	case UART_FCR:
		return read_iir(port);
	case UART_LSR:
		return read_lsr(port);
	case UART_MSR:
		return read_msr(port);
	case UART_LCR:
	case UART_MCR:
	case UART_SCR:
		return port->reg[at];
	default:
		return 0;
	}
}

/* configuration: nothing of vfio-pci's, the driver's own few fields */

static void write_bar(struct sim_device *dev, uint64_t at, uint32_t value)
{
	uint8_t *bar = dev->config + at;

	if (at == 0x14 && dev->ports < 2) {
		vfmi_put_le32(bar, 0);
		return;
	}
	if (value == UINT32_MAX)
		value = ~7u;
	vfmi_put_le32(bar, value | (bar[0] & 3u));
}

static void config_write(struct sim_device *dev, uint64_t at, uint32_t value)
{
	if (at == 0x3c)
		dev->config[at] = (uint8_t)value;
	else if (at == 0x10 || at == 0x14)
		write_bar(dev, at, value);
	else if (at == 0x18 || at == 0x1c || at == 0x20)
		vfmi_put_le32(dev->config + at, 0);
}

/* One access of the driver: 4, 2 or 1 bytes, of which a port looks at the first. */
static int access_one(struct vfm_sim *sim, struct sim_device *dev, uint32_t index, uint64_t at, uint8_t *buf,
		      uint32_t width, bool write)
{
	uint32_t value = 0;

	if (write)
		value = (uint32_t)vfmi_get_le(buf, width);
	if (index == VFIO_PCI_CONFIG_REGION_INDEX) {
		if (at + width > sizeof(dev->config))
			vfmi_sim_strict(sim, "%s: access behind the configuration space", dev->name);
		else if (write)
			config_write(dev, at, value);
		else
			value = (uint32_t)vfmi_get_le(dev->config + at, width);
	} else if (index > 5) {
		vfmi_sim_strict(sim, "%s: access to region %u", dev->name, index);
		return -EFAULT;
	} else if (index >= 2) {
		vfmi_sim_strict(sim, "%s: access to region %u, which is not there", dev->name, index);
	} else if (write) {
		port_write(sim, dev, &dev->u.mtty.ports[index], at, (uint8_t)value);
	} else {
		value = port_read(sim, dev, &dev->u.mtty.ports[index], at);
	}
	if (!write)
		vfmi_put_le(buf, width, value);
	return 0;
}

static ssize_t mtty_region_rw(struct vfm_sim *sim, struct sim_device *dev, uint32_t index, uint8_t *buf, size_t length,
			      uint64_t pos, bool write)
{
	size_t done;
	uint32_t width;

	for (done = 0; done < length; done += width) {
		for (width = 4; width > 1; width /= 2)
			if (length - done >= width && !((pos + done) % width))
				break;
		if (access_one(sim, dev, index, pos + done, buf + done, width, write))
			return -EFAULT;
	}
	return (ssize_t)done;
}

/* stream */

static uint64_t mtty_data_size(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	return HEADER_BYTES + (uint64_t)dev->ports * PORT_BYTES;
}

static uint64_t mtty_limit(const struct sim_device *dev)
{
	return HEADER_BYTES + (uint64_t)dev->ports * PORT_BYTES;
}

static void mtty_header(const struct sim_device *dev, uint8_t out[HEADER_BYTES])
{
	vfmi_put_le64(out, MAGIC);
	vfmi_put_le32(out + 8, MAJOR);
	vfmi_put_le32(out + 12, MINOR);
	vfmi_put_le32(out + 16, dev->ports);
	vfmi_put_le32(out + 20, 0);
}

static void mtty_save_begin(struct vfm_sim *sim, struct sim_device *dev)
{
	uint8_t header[HEADER_BYTES];

	(void)sim;
	mtty_header(dev, header);
	vfmi_sim_queue_bytes(&dev->session, header, sizeof(header));
}

static void mtty_save_final(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	vfmi_sim_queue_bytes(&dev->session, dev->u.mtty.ports, (size_t)dev->ports * PORT_BYTES);
}

static bool mtty_save_more(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	(void)dev;
	return false;
}

static void mtty_precopy_info(struct vfm_sim *sim, struct sim_device *dev, uint64_t *initial, uint64_t *dirty)
{
	(void)sim;
	*initial = vfmi_sim_queued_bytes(&dev->session);
	*dirty = 0;
}

static void mtty_load_begin(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	(void)dev;
}

/* The bytes stay whatever is found to be wrong with them. */
static ssize_t mtty_write(struct vfm_sim *sim, struct sim_device *dev, const uint8_t *buf, size_t length)
{
	struct sim_session *session = &dev->session;
	uint64_t before = session->bytes;
	uint8_t header[HEADER_BYTES];

	(void)sim;
	if (length > mtty_limit(dev) - before)
		return -ENOMEM;
	if (length)
		memcpy(session->in + before, buf, length);
	session->bytes += length;
	if (before >= HEADER_BYTES || session->bytes < HEADER_BYTES)
		return (ssize_t)length;
	mtty_header(dev, header);
	return memcmp(header, session->in, sizeof(header)) ? -EFAULT : (ssize_t)length;
}

static int mtty_load_finish(struct vfm_sim *sim, struct sim_device *dev)
{
	(void)sim;
	if (dev->session.bytes < mtty_limit(dev))
		return -EINVAL;
	memcpy(dev->u.mtty.ports, dev->session.in + HEADER_BYTES, (size_t)dev->ports * PORT_BYTES);
	return 0;
}

#define READ_WRITE (VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE)

const struct sim_profile vfmi_sim_mtty = {
	.name = "mtty",
	.driver = "mtty",
	.quirks = SIM_MDEV | SIM_PRECOPY_ENDS_IN_0 | SIM_STATE_BEFORE_DEAD,
	.migration_flags = 7,
	.log = SIM_LOG_STUB,
	.regions = 9,
	.irqs = 5,
	.vendor = 0x4348,
	.device = 0x3253,
	.subvendor = 0x4348,
	.subdevice = 0x3253,
	.class_code = 0x070002,
	.revision = 0x10,
	.pin = 1,
	.msi_cap = 1, /* not in configuration space, but armed like one */
	/* Every region claims to be readable and writable, also those of no size. */
	.region = {
		[0] = { .size = 8, .flags = READ_WRITE },
		[1] = { .size = 8, .flags = READ_WRITE },
		[2] = { .flags = READ_WRITE },
		[3] = { .flags = READ_WRITE },
		[4] = { .flags = READ_WRITE },
		[5] = { .flags = READ_WRITE },
		[6] = { .flags = READ_WRITE },
		[VFIO_PCI_CONFIG_REGION_INDEX] = { .size = CONFIG_BYTES, .flags = READ_WRITE },
		[VFIO_PCI_VGA_REGION_INDEX] = { .flags = READ_WRITE },
	},
	.reset = mtty_new,
	.region_rw = mtty_region_rw,
	.save_begin = mtty_save_begin,
	.save_final = mtty_save_final,
	.save_more = mtty_save_more,
	.precopy_info = mtty_precopy_info,
	.load_begin = mtty_load_begin,
	.blob_write = mtty_write,
	.blob_limit = mtty_limit,
	.load_finish = mtty_load_finish,
	.data_size = mtty_data_size,
};

// SPDX-License-Identifier: MIT
/* mtty as a program sees it: its first port is a UART behind BAR 0 whose transmitter feeds its receiver. */
#include "scenario.h"

#define UART_DATA 0
#define UART_FCR 2
#define UART_LSR 5
#define UART_FCR_ENABLE_FIFO 1
#define UART_FCR_CLEAR 6
#define UART_LSR_DATA_READY 1

static int uart_write(struct env *env, struct vfm_device *dev, uint32_t reg, uint8_t value)
{
	OK(vfm_device_region_write(dev, VFM_REGION_BAR0, reg, &value, 1, &env->err));
	return 0;
}

static int uart_read(struct env *env, struct vfm_device *dev, uint32_t reg, uint8_t *ret)
{
	OK(vfm_device_region_read(dev, VFM_REGION_BAR0, reg, ret, 1, &env->err));
	return 0;
}

int mtty_send(struct env *env, struct vfm_device *dev, const char *text)
{
	if (uart_write(env, dev, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR) ||
	    uart_write(env, dev, UART_FCR, UART_FCR_ENABLE_FIFO))
		return -1;
	for (; *text; text++)
		if (uart_write(env, dev, UART_DATA, (uint8_t)*text))
			return -1;
	return 0;
}

int mtty_expect(struct env *env, struct vfm_device *dev, const char *text)
{
	uint8_t byte, lsr;

	for (; *text; text++) {
		if (uart_read(env, dev, UART_LSR, &lsr))
			return -1;
		REQUIRE(lsr & UART_LSR_DATA_READY);
		if (uart_read(env, dev, UART_DATA, &byte))
			return -1;
		REQUIRE(byte == (uint8_t)*text);
	}
	if (uart_read(env, dev, UART_LSR, &lsr))
		return -1;
	REQUIRE(!(lsr & UART_LSR_DATA_READY));
	return 0;
}

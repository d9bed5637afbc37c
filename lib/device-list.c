/* SPDX-License-Identifier: MIT */
/* The bound devices of a context, for whom what is done to one of them reaches others. */
#include <stdlib.h>

#include "device-body.h"

struct vfmi_device_list {
	pthread_mutex_t lock; /* also held over what the kernel is asked to tell them apart */
	pthread_cond_t released;
	struct vfm_device *first;
};

int vfmi_device_list_new(struct vfmi_device_list **ret_list)
{
	struct vfmi_device_list *list = calloc(1, sizeof(*list));

	if (!list)
		return -ENOMEM;
	/* default ones cannot fail to be made */
	(void)pthread_mutex_init(&list->lock, NULL);
	(void)pthread_cond_init(&list->released, NULL);
	*ret_list = list;
	return 0;
}

void vfmi_device_list_free(struct vfmi_device_list *list)
{
	if (!list)
		return;
	pthread_cond_destroy(&list->released);
	pthread_mutex_destroy(&list->lock);
	free(list);
}

void vfmi_device_list_add(struct vfm_device *dev)
{
	struct vfmi_device_list *list = dev->ctx->devices;

	pthread_mutex_lock(&list->lock);
	dev->listed = true;
	dev->next = list->first;
	list->first = dev;
	pthread_mutex_unlock(&list->lock);
}

void vfmi_device_list_remove(struct vfm_device *dev)
{
	struct vfmi_device_list *list = dev->ctx->devices;
	struct vfm_device **at;

	if (!dev->listed)
		return;
	pthread_mutex_lock(&list->lock);
	while (dev->holders > 0)
		pthread_cond_wait(&list->released, &list->lock);
	for (at = &list->first; *at != dev; at = &(*at)->next)
		;
	*at = dev->next;
	pthread_mutex_unlock(&list->lock);
}

static bool is_among(struct vfm_device *const *devs, size_t count, const struct vfm_device *dev)
{
	while (count > 0 && devs[count - 1] != dev)
		count--;
	return count > 0;
}

static int hold_more(struct vfmi_device_list *list, vfmi_device_list_fn *fn, void *user, struct vfm_device ***devs,
		     size_t *count)
{
	for (struct vfm_device *dev = list->first; dev; dev = dev->next) {
		struct vfm_device **grown;

		if (is_among(*devs, *count, dev) || !fn(user, dev))
			continue;
		grown = reallocarray(*devs, *count + 1, sizeof(struct vfm_device *));
		if (!grown)
			return -ENOMEM;
		*devs = grown;
		grown[(*count)++] = dev;
		dev->holders++;
	}
	return 0;
}

int vfmi_device_list_hold(struct vfm_context *ctx, vfmi_device_list_fn *fn, void *user, struct vfm_device ***devs,
			  size_t *count)
{
	struct vfmi_device_list *list = ctx->devices;
	int r;

	pthread_mutex_lock(&list->lock);
	r = hold_more(list, fn, user, devs, count);
	pthread_mutex_unlock(&list->lock);
	return r;
}

void vfmi_device_list_release(struct vfm_device *dev)
{
	struct vfmi_device_list *list = dev->ctx->devices;

	pthread_mutex_lock(&list->lock);
	dev->holders--;
	pthread_cond_broadcast(&list->released);
	pthread_mutex_unlock(&list->lock);
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sockets as handlers see them, and their addresses.
 */
#ifndef FLEXSC_CALL_SOCKET_H
#define FLEXSC_CALL_SOCKET_H

#include <linux/net.h>
#include <linux/socket.h>

#include "call.h"

/* What a call does with its socket: returns a verdict. */
typedef int (*flexsc_socket_fn)(struct flexsc_frame *frame, struct socket *sock);

int flexsc_on_socket(struct flexsc_frame *frame, flexsc_socket_fn fn);
int flexsc_on_waiting_socket(struct flexsc_frame *frame, flexsc_socket_fn fn);
u32 flexsc_socket_lanes(const struct flexsc_frame *frame, const struct socket *sock, int rw);
bool flexsc_socket_tells_input(const struct socket *sock, unsigned int flags);
int flexsc_socket_wait_to_read(struct flexsc_frame *frame);
int flexsc_socket_resumes(const struct flexsc_frame *frame, struct socket *sock);
bool flexsc_socket_waits(const struct flexsc_frame *frame, const struct socket *sock);
int flexsc_address_in(struct sockaddr_storage *to, const void __user *uaddr, int len);
int flexsc_address_out(const struct sockaddr_storage *from, int len, void __user *uaddr,
		       int __user *ulen);

#endif /* FLEXSC_CALL_SOCKET_H */

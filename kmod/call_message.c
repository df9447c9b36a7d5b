// SPDX-License-Identifier: GPL-2.0
/*
 * Sending and receiving. In T and C: control messages carry descriptors of current's
 * table and current's pid, and names of AF_UNIX sockets are paths.
 */
#include <linux/fs.h>
#include <linux/limits.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <net/inet_connection_sock.h>
#include <net/sock.h>

#include "call_file.h"
#include "call_fs.h"
#include "call_socket.h"

/*
 * Flags with which a call that blocks is one that does not, made when poll says so. Not so
 * of MSG_WAITALL, nor of MSG_OOB and MSG_ERRQUEUE, which do not wait for what poll says.
 */
#define READ_FLAGS	(MSG_PEEK | MSG_TRUNC | MSG_CMSG_CLOEXEC | MSG_NOSIGNAL)
#define WRITE_FLAGS	MSG_NOSIGNAL

/*
 * Say in @frame whether the call is to be tried without blocking, if it may be made @again.
 * Return: 0, or FLEXSC_TO_T where it would keep the caller of wait from its other entries.
 */
static int choose(struct flexsc_frame *frame, const struct socket *sock, int rw,
		  unsigned int flags, bool again)
{
	unsigned int known = rw == READ ? READ_FLAGS : WRITE_FLAGS;

	if (FLEXSC_MUTANT(message_flags))
		known = ~0U;
	frame->flags &= ~FLEXSC_FRAME_ATTEMPT;
	if (flags & MSG_DONTWAIT)
		return 0;
	if (!frame->file && (sock->file->f_flags & O_NONBLOCK))
		return 0;
	if (again && !(flags & ~known) && !(frame->flags & FLEXSC_FRAME_BLOCK) &&
	    (flexsc_socket_lanes(frame, sock, rw) & frame->lane)) {
		frame->flags |= FLEXSC_FRAME_ATTEMPT;
		return 0;
	}
	return flexsc_socket_waits(frame, sock) ? FLEXSC_TO_T : 0;
}

/* MSG_DONTWAIT, also where the file or choose() says so. */
static unsigned int waiting_flags(const struct flexsc_frame *frame, const struct socket *sock,
				  unsigned int flags)
{
	if ((frame->flags & FLEXSC_FRAME_ATTEMPT) ||
	    (!frame->file && (sock->file->f_flags & O_NONBLOCK)))
		flags |= MSG_DONTWAIT;
	return flags;
}

/* The end of a call that receives. Return: a verdict. */
static int received(struct flexsc_frame *frame, ssize_t ret)
{
	if ((frame->flags & FLEXSC_FRAME_ATTEMPT) && ret == -EAGAIN)
		return flexsc_socket_wait_to_read(frame);
	return flexsc_done(frame, ret);
}

/*
 * Does this socket take MSG_NOSIGNAL for what it is? A few protocols refuse every flag
 * that they do not know.
 */
static bool knows_nosignal(const struct socket *sock)
{
	switch (READ_ONCE(sock->ops)->family) {
	case PF_UNIX:
		return true;
	case PF_INET:
	case PF_INET6:
		return !inet_csk_has_ulp(sock->sk);
	default:
		return false;
	}
}

/* Return: a verdict. */
static int send(struct flexsc_frame *frame, struct socket *sock, struct msghdr *msg,
		unsigned int flags)
{
	size_t left = msg_data_left(msg);
	struct flexsc_fs fs;
	int rc;

	flags &= ~MSG_INTERNAL_SENDMSG_FLAGS;
	/* No entry raises SIGPIPE: a system call thread blocks it, the caller does not. */
	if (frame->lane == FLEXSC_LANE_C) {
		if (!knows_nosignal(sock))
			return FLEXSC_TO_T;
		if (!FLEXSC_MUTANT(nosignal_send))
			flags |= MSG_NOSIGNAL;
	}
	msg->msg_flags = waiting_flags(frame, sock, flags);
	/* What it has sent before it had to wait. */
	left -= min_t(u64, left, frame->done);
	iov_iter_advance(&msg->msg_iter, frame->done);
	rc = flexsc_fs_enter(&fs, frame);
	if (rc)
		return rc;
	frame->ret = flexsc_socket_resumes(frame, sock) ?: sock_sendmsg(sock, msg);
	flexsc_fs_leave(&fs);
	if (flexsc_would_wait(frame, sock->file, WRITE, frame->ret, left))
		return FLEXSC_WAIT;
	return FLEXSC_DID;
}

static int sendto_socket(struct flexsc_frame *frame, struct socket *sock)
{
	void __user *ubuf = u64_to_user_ptr(frame->args[1]);
	const void __user *uaddr = u64_to_user_ptr(frame->args[4]);
	unsigned int flags = frame->args[3];
	struct sockaddr_storage address;
	int len = frame->args[5];
	struct msghdr msg = { };
	int rc;

	/* Done once before the descriptor was looked at, so it cannot fail. */
	rc = import_ubuf(ITER_SOURCE, ubuf, frame->args[2], &msg.msg_iter);
	if (rc)
		return flexsc_done(frame, rc);
	if (uaddr) {
		rc = flexsc_address_in(&address, uaddr, len);
		if (rc)
			return flexsc_done(frame, rc);
		msg.msg_name = &address;
		msg.msg_namelen = len;
	}
	return choose(frame, sock, WRITE, flags, true) ?: send(frame, sock, &msg, flags);
}

/* A buffer outside the user's half is found before the descriptor is looked at. */
static int check_buffer(const struct flexsc_frame *frame)
{
	size_t len = min(frame->args[2], (u64)MAX_RW_COUNT);

	return access_ok(u64_to_user_ptr(frame->args[1]), len) ? 0 : -EFAULT;
}

int flexsc_call_sendto(struct flexsc_frame *frame)
{
	int rc = check_buffer(frame);

	return rc ? flexsc_done(frame, rc) : flexsc_on_waiting_socket(frame, sendto_socket);
}

static int recvfrom_socket(struct flexsc_frame *frame, struct socket *sock)
{
	void __user *ubuf = u64_to_user_ptr(frame->args[1]);
	void __user *uaddr = u64_to_user_ptr(frame->args[4]);
	int __user *ulen = u64_to_user_ptr(frame->args[5]);
	unsigned int flags = frame->args[3];
	struct sockaddr_storage address;
	struct msghdr msg = {
		.msg_name = uaddr ? &address : NULL,
	};
	ssize_t ret;
	int rc;

	rc = import_ubuf(ITER_DEST, ubuf, frame->args[2], &msg.msg_iter);
	if (rc)
		return flexsc_done(frame, rc);
	rc = choose(frame, sock, READ, flags, true);
	if (rc)
		return rc;
	ret = sock_recvmsg(sock, &msg, waiting_flags(frame, sock, flags));
	if (ret >= 0 && uaddr) {
		rc = flexsc_address_out(&address, msg.msg_namelen, uaddr, ulen);
		if (rc)
			ret = rc;
	}
	return received(frame, ret);
}

int flexsc_call_recvfrom(struct flexsc_frame *frame)
{
	int rc = check_buffer(frame);

	return rc ? flexsc_done(frame, rc) : flexsc_on_waiting_socket(frame, recvfrom_socket);
}

/*
 * copy_msghdr_from_user(). @address is where the name goes; for receiving it is NULL,
 * and the name only has to be sensible. Return: 0, with *@iov to be freed, or -errno.
 */
static int get_header(struct user_msghdr *user, const void __user *umsg, struct msghdr *msg,
		      struct sockaddr_storage *address, struct iovec **iov)
{
	ssize_t total;
	int rc;

	if (copy_from_user(user, umsg, sizeof(*user)))
		return -EFAULT;
	msg->msg_control_is_user = true;
	msg->msg_control_user = user->msg_control;
	msg->msg_controllen = user->msg_controllen;
	msg->msg_namelen = user->msg_name ? user->msg_namelen : 0;
	if (msg->msg_namelen < 0)
		return -EINVAL;
	msg->msg_namelen = min_t(int, msg->msg_namelen, sizeof(*address));
	if (address && msg->msg_namelen) {
		rc = flexsc_address_in(address, user->msg_name, msg->msg_namelen);
		if (rc)
			return rc;
		msg->msg_name = address;
	}
	if (user->msg_iovlen > UIO_MAXIOV)
		return -EMSGSIZE;
	total = import_iovec(address ? ITER_SOURCE : ITER_DEST, user->msg_iov,
			     user->msg_iovlen, UIO_FASTIOV, iov, &msg->msg_iter);
	return total < 0 ? total : 0;
}

/* Does a control message send a /dev/flexsc file? @msg's control is ours by now. */
static bool sends_own(struct msghdr *msg)
{
	struct cmsghdr *cmsg;
	int i, count;

	for_each_cmsghdr(cmsg, msg) {
		if (!CMSG_OK(msg, cmsg))
			return false;
		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		count = (cmsg->cmsg_len - sizeof(*cmsg)) / sizeof(int);
		for (i = 0; i < count; i++)
			if (!FLEXSC_MUTANT(own_message) &&
			    flexsc_fd_is_own(((int *)CMSG_DATA(cmsg))[i]))
				return true;
	}
	return false;
}

/* ____sys_sendmsg(). Return: a verdict. */
static int send_message(struct flexsc_frame *frame, struct socket *sock, struct msghdr *msg)
{
	/* As much as IPv6's packet information takes. */
	unsigned char small[sizeof(struct cmsghdr) + 20] __aligned(sizeof(__kernel_size_t));
	unsigned int flags = frame->args[2];
	unsigned char *control = small;
	int len, rc;

	if (msg->msg_controllen > INT_MAX)
		return flexsc_done(frame, -ENOBUFS);
	len = msg->msg_controllen;
	if (!len)
		return send(frame, sock, msg, flags);

	if (len > sizeof(small)) {
		control = sock_kmalloc(sock->sk, len, GFP_KERNEL);
		if (!control)
			return flexsc_done(frame, -ENOBUFS);
	}
	if (copy_from_user(control, msg->msg_control_user, len)) {
		rc = flexsc_done(frame, -EFAULT);
		goto free;
	}
	msg->msg_control = control;
	msg->msg_control_is_user = false;
	rc = sends_own(msg) ? FLEXSC_HAND_BACK : send(frame, sock, msg, flags);
free:
	if (control != small)
		sock_kfree_s(sock->sk, control, len);
	return rc;
}

static int sendmsg_socket(struct flexsc_frame *frame, struct socket *sock)
{
	const void __user *umsg = u64_to_user_ptr(frame->args[1]);
	struct iovec fast[UIO_FASTIOV], *iov = fast;
	struct sockaddr_storage address;
	struct msghdr msg = { };
	struct user_msghdr user;
	int rc;

	rc = get_header(&user, umsg, &msg, &address, &iov);
	if (rc)
		return flexsc_done(frame, rc);
	/* Descriptors are sent as they are now, and stamps asked for once. */
	rc = choose(frame, sock, WRITE, frame->args[2], !msg.msg_controllen);
	if (!rc)
		rc = send_message(frame, sock, &msg);
	kfree(iov);
	return rc;
}

int flexsc_call_sendmsg(struct flexsc_frame *frame)
{
	if ((unsigned int)frame->args[2] & MSG_CMSG_COMPAT)
		return flexsc_done(frame, -EINVAL);
	return flexsc_on_waiting_socket(frame, sendmsg_socket);
}

/* ____sys_recvmsg() */
static ssize_t receive_message(struct socket *sock, struct msghdr *msg,
			       const struct user_msghdr *user, struct user_msghdr __user *umsg,
			       unsigned int flags)
{
	unsigned long control = (unsigned long)msg->msg_control;
	struct sockaddr_storage address;
	ssize_t ret;
	int rc;

	msg->msg_name = &address;
	msg->msg_namelen = 0;
	msg->msg_flags = flags & MSG_CMSG_CLOEXEC;
	ret = sock_recvmsg(sock, msg, flags);
	if (ret < 0)
		return ret;
	if (user->msg_name) {
		rc = flexsc_address_out(&address, msg->msg_namelen, user->msg_name,
					&umsg->msg_namelen);
		if (rc)
			return rc;
	}
	rc = put_user(msg->msg_flags & ~MSG_CMSG_COMPAT, &umsg->msg_flags) ?:
	     put_user((unsigned long)msg->msg_control - control, &umsg->msg_controllen);
	return rc ?: ret;
}

static int recvmsg_socket(struct flexsc_frame *frame, struct socket *sock)
{
	struct user_msghdr __user *umsg = u64_to_user_ptr(frame->args[1]);
	struct iovec fast[UIO_FASTIOV], *iov = fast;
	unsigned int flags = frame->args[2];
	struct user_msghdr user;
	struct msghdr msg = { };
	ssize_t ret;
	int rc;

	rc = choose(frame, sock, READ, flags, true);
	if (rc)
		return rc;
	rc = get_header(&user, umsg, &msg, NULL, &iov);
	if (rc)
		return flexsc_done(frame, rc);
	ret = receive_message(sock, &msg, &user, umsg, waiting_flags(frame, sock, flags));
	kfree(iov);
	return received(frame, ret);
}

int flexsc_call_recvmsg(struct flexsc_frame *frame)
{
	if ((unsigned int)frame->args[2] & MSG_CMSG_COMPAT)
		return flexsc_done(frame, -EINVAL);
	return flexsc_on_waiting_socket(frame, recvmsg_socket);
}

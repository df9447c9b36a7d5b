// SPDX-License-Identifier: GPL-2.0
/*
 * Making sockets and joining them. In T and C: descriptors go into current's table,
 * names of AF_UNIX sockets are paths, and network namespaces are current's.
 */
#include <linux/err.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/security.h>
#include <linux/splice.h>
#include <linux/uaccess.h>
#include <linux/udp.h>
#include <net/inet_common.h>
#include <net/inet_connection_sock.h>
#include <net/net_namespace.h>
#include <net/sock.h>
#include <net/tcp_states.h>

#include "call_file.h"
#include "call_fs.h"
#include "call_socket.h"

#define TYPE_FLAGS	(SOCK_CLOEXEC | SOCK_NONBLOCK)

static_assert(SOCK_CLOEXEC == O_CLOEXEC && SOCK_NONBLOCK == O_NONBLOCK);

/**
 * flexsc_on_socket - make a call on the socket that its first argument stands for
 * @frame: the entry
 * @fn: the rest of the call
 *
 * Return: a verdict.
 */
int flexsc_on_socket(struct flexsc_frame *frame, flexsc_socket_fn fn)
{
	struct socket *sock;
	struct file *file;
	int rc;

	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	rc = flexsc_file_first(frame, FMODE_PATH, &file);
	if (rc)
		return flexsc_stop(frame, rc);
	sock = sock_from_file(file);
	rc = sock ? fn(frame, sock) : flexsc_done(frame, -ENOTSOCK);
	flexsc_file_first_put(frame, file);
	return rc;
}

/**
 * flexsc_on_waiting_socket - flexsc_on_socket() for calls that may have to wait
 * @frame: the entry
 * @fn: the rest of the call
 *
 * Return: a verdict.
 */
int flexsc_on_waiting_socket(struct flexsc_frame *frame, flexsc_socket_fn fn)
{
	struct socket *sock;
	struct file *file;
	int rc;

	rc = flexsc_file_get_again(frame, &file);
	if (rc)
		return flexsc_stop(frame, rc);
	sock = sock_from_file(file);
	rc = sock ? fn(frame, sock) : flexsc_done(frame, -ENOTSOCK);
	flexsc_file_release(frame, file, rc);
	return rc;
}

/* A TCP socket without a protocol in between. */
static bool is_plain_tcp(const struct sock *sk)
{
	return sk_is_tcp(sk) && !inet_csk_has_ulp(sk);
}

/**
 * flexsc_socket_tells_input - does poll say when a splice from this socket would go on?
 * @sock: the socket
 * @flags: SPLICE_F_*
 *
 * Not where the splice ends without data, or waits for something else.
 */
bool flexsc_socket_tells_input(const struct socket *sock, unsigned int flags)
{
	const struct sock *sk = sock->sk;

	if (!sk || (sock->file->f_flags & O_NONBLOCK))
		return false;
	/* Only AF_UNIX heeds the flag. */
	if (sk_is_unix(sk) ? flags & SPLICE_F_NONBLOCK : !is_plain_tcp(sk) && !sk_is_udp(sk))
		return false;
	return READ_ONCE(sk->sk_state) != TCP_LISTEN &&
	       READ_ONCE(sk->sk_rcvtimeo) == MAX_SCHEDULE_TIMEOUT &&
	       READ_ONCE(sk->sk_rcvlowat) <= 1 &&
	       skb_queue_empty_lockless(&sk->sk_receive_queue);
}

static u32 reading_lanes(const struct sock *sk)
{
	switch (sk->sk_family) {
	case AF_INET:
	case AF_INET6:
		if (is_plain_tcp(sk) || sk_is_udp(sk) || sk->sk_type == SOCK_RAW)
			return FLEXSC_ALL_LANES;
		return 0;
	case AF_UNIX:
	case AF_NETLINK:
		return FLEXSC_LANE_T | FLEXSC_LANE_C;
	default:
		return 0;
	}
}

/*
 * Where the second half of a transfer would not be as the blocking call has it:
 * time stamps of each half; what was corked would be lost when there is no room.
 */
static u32 writing_lanes(const struct sock *sk)
{
	if (is_plain_tcp(sk))
		return !inet_test_bit(DEFER_CONNECT, sk) &&
		       !(READ_ONCE(sk->sk_tsflags) & SOF_TIMESTAMPING_TX_RECORD_MASK) ?
		       FLEXSC_ALL_LANES : 0;
	if (sk_is_udp(sk))
		return !udp_test_bit(CORK, sk) && !READ_ONCE(udp_sk(sk)->pending) ?
		       FLEXSC_ALL_LANES : 0;
	/* Each part carries the sender's credentials: all have to be made by one lane. */
	return sk_is_stream_unix(sk) ? FLEXSC_LANE_T : 0;
}

/**
 * flexsc_socket_lanes - in which lanes can a call wait for @sock in its wait queue?
 * @frame: the entry
 * @sock: its socket
 * @rw: READ, WRITE or FLEXSC_POLL
 *
 * That is so where the blocking call is one that does not block, made when poll says
 * so. Not with a time limit, nor with a mark that poll knows and a call that does not
 * block does not. Those are looked at once, as by the real call.
 *
 * Return: FLEXSC_LANE_*.
 */
u32 flexsc_socket_lanes(const struct flexsc_frame *frame, const struct socket *sock, int rw)
{
	const struct sock *sk = sock ? sock->sk : NULL;

	if (!sk)
		return 0;
	if (rw == FLEXSC_POLL)
		return sk_is_inet(sk) ? FLEXSC_ALL_LANES : 0;
	if (rw == WRITE)
		return frame->file || READ_ONCE(sk->sk_sndtimeo) == MAX_SCHEDULE_TIMEOUT ?
		       writing_lanes(sk) : 0;
	return frame->file || (READ_ONCE(sk->sk_rcvtimeo) == MAX_SCHEDULE_TIMEOUT &&
			       READ_ONCE(sk->sk_rcvlowat) <= 1) ? reading_lanes(sk) : 0;
}

/**
 * flexsc_socket_resumes - what does the blocking call find when it wakes up to send?
 * @frame: the entry
 * @sock: its socket
 *
 * A call begun anew would not find it: AF_UNIX looks for an error only where it waits,
 * and TCP leaves an error to the next call if it has sent something.
 *
 * Return: 0 to go on, or -errno.
 */
int flexsc_socket_resumes(const struct flexsc_frame *frame, struct socket *sock)
{
	struct sock *sk = sock->sk;

	if (FLEXSC_MUTANT(resumes))
		return 0;
	if (!frame->file)
		return 0;
	if (sk_is_stream_unix(sk))
		return sock_error(sk);
	if (frame->done && (READ_ONCE(sk->sk_err) ||
			    (READ_ONCE(sk->sk_shutdown) & SEND_SHUTDOWN)))
		return -EPIPE;
	return 0;
}

/**
 * flexsc_socket_waits - might a call on @sock keep this lane from its other entries?
 * @frame: the entry
 * @sock: its socket
 *
 * A thread may be kept; the caller of wait may not.
 */
bool flexsc_socket_waits(const struct flexsc_frame *frame, const struct socket *sock)
{
	return frame->lane != FLEXSC_LANE_T && !(sock->file->f_flags & O_NONBLOCK);
}

/**
 * flexsc_socket_wait_to_read - an attempt has found nothing
 * @frame: the entry
 *
 * What a thread gets may be descriptors, for the table that it shares with the process;
 * the caller's could be another.
 *
 * Return: a verdict.
 */
int flexsc_socket_wait_to_read(struct flexsc_frame *frame)
{
	if (frame->lane != FLEXSC_LANE_T)
		return FLEXSC_TO_T;
	frame->events = (__force u32)(EPOLLIN | EPOLLRDNORM | EPOLLRDHUP);
	return FLEXSC_WAIT;
}

/**
 * flexsc_address_in - copy an address from the user
 * @to: where to
 * @uaddr: the user's
 * @len: as the user says
 *
 * Return: 0, -EINVAL or -EFAULT.
 */
int flexsc_address_in(struct sockaddr_storage *to, const void __user *uaddr, int len)
{
	if (len < 0 || len > sizeof(*to))
		return -EINVAL;
	return copy_from_user(to, uaddr, len) ? -EFAULT : 0;
}

/**
 * flexsc_address_out - copy an address to the user
 * @from: the address
 * @len: its length
 * @uaddr: where to
 * @ulen: in: room there; out: @len, however much fits
 *
 * Return: 0, -EINVAL or -EFAULT.
 */
int flexsc_address_out(const struct sockaddr_storage *from, int len, void __user *uaddr,
		       int __user *ulen)
{
	int room;

	if (get_user(room, ulen))
		return -EFAULT;
	if (room < 0)
		return -EINVAL;
	if (put_user(len, ulen))
		return -EFAULT;
	return copy_to_user(uaddr, from, min(room, len)) ? -EFAULT : 0;
}

int flexsc_call_socket(struct flexsc_frame *frame)
{
	int family = frame->args[0], type = frame->args[1], protocol = frame->args[2];
	int flags = type & ~SOCK_TYPE_MASK;
	struct socket *sock;
	int fd, rc;

	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	if (flags & ~TYPE_FLAGS)
		return flexsc_done(frame, -EINVAL);
	rc = sock_create(family, type & SOCK_TYPE_MASK, protocol, &sock);
	if (rc < 0)
		return flexsc_done(frame, rc);
	fd = flexsc_fd_reserve(frame, flags);
	if (fd < 0) {
		sock_release(sock);
		return flexsc_done(frame, fd);
	}
	/* Consumes the socket in any case. */
	return flexsc_fd_install(frame, fd, sock_alloc_file(sock, flags, NULL));
}

/* Two sockets that are joined. Return: 0, or -errno with both gone. */
static int create_pair(int family, int type, int protocol, struct socket *pair[2])
{
	int rc;

	rc = sock_create(family, type, protocol, &pair[0]);
	if (rc < 0)
		return rc;
	rc = sock_create(family, type, protocol, &pair[1]);
	if (rc < 0)
		goto release_first;
	rc = security_socket_socketpair(pair[0], pair[1]);
	if (!rc)
		rc = READ_ONCE(pair[0]->ops)->socketpair(pair[0], pair[1]);
	if (rc >= 0)
		return 0;
	sock_release(pair[1]);
release_first:
	sock_release(pair[0]);
	return rc;
}

int flexsc_call_socketpair(struct flexsc_frame *frame)
{
	int family = frame->args[0], type = frame->args[1], protocol = frame->args[2];
	int __user *ufds = u64_to_user_ptr(frame->args[3]);
	int flags = type & ~SOCK_TYPE_MASK;
	struct file *file1, *file2;
	struct socket *pair[2];
	int fd1, fd2, rc;

	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	if (flags & ~TYPE_FLAGS)
		return flexsc_done(frame, -EINVAL);
	fd1 = get_unused_fd_flags(flags);
	if (fd1 < 0)
		return flexsc_done(frame, fd1);
	fd2 = get_unused_fd_flags(flags);
	if (fd2 < 0) {
		rc = fd2;
		goto put_fd1;
	}
	rc = put_user(fd1, &ufds[0]) ?: put_user(fd2, &ufds[1]);
	if (rc)
		goto put_fd2;
	rc = create_pair(family, type & SOCK_TYPE_MASK, protocol, pair);
	if (rc)
		goto put_fd2;
	/* Each of these consumes its socket. */
	file1 = sock_alloc_file(pair[0], flags, NULL);
	if (IS_ERR(file1)) {
		rc = PTR_ERR(file1);
		sock_release(pair[1]);
		goto put_fd2;
	}
	file2 = sock_alloc_file(pair[1], flags, NULL);
	if (IS_ERR(file2)) {
		rc = PTR_ERR(file2);
		flexsc_file_put(file1);
		goto put_fd2;
	}
	fd_install(fd1, file1);
	fd_install(fd2, file2);
	return flexsc_done(frame, 0);

put_fd2:
	put_unused_fd(fd2);
put_fd1:
	put_unused_fd(fd1);
	return flexsc_done(frame, rc);
}

/*
 * The hooks of the five calls below are out of reach: security_socket_bind(),
 * _connect(), _listen(), _shutdown() and _accept(). Landlock has the first two.
 */
#define GATE_SOCKET	(FLEXSC_GATE_APPARMOR | FLEXSC_GATE_SELINUX)

static int bind_socket(struct flexsc_frame *frame, struct socket *sock)
{
	const void __user *uaddr = u64_to_user_ptr(frame->args[1]);
	struct sockaddr_storage address;
	int len = frame->args[2];
	struct flexsc_fs fs;
	int rc;

	if (flexsc_landlocked(sock->file->f_path.dentry->d_sb))
		return FLEXSC_HAND_BACK;
	rc = flexsc_address_in(&address, uaddr, len);
	if (rc)
		return flexsc_done(frame, rc);
	rc = flexsc_fs_enter(&fs, frame);
	if (rc)
		return rc;
	rc = READ_ONCE(sock->ops)->bind(sock, (struct sockaddr_unsized *)&address, len);
	flexsc_fs_leave(&fs);
	return flexsc_done(frame, rc);
}

int flexsc_call_bind(struct flexsc_frame *frame)
{
	return flexsc_gated(frame, GATE_SOCKET | FLEXSC_GATE_NNP) ?:
	       flexsc_on_socket(frame, bind_socket);
}

/* A connect of which the first half, without blocking, leads to the second. */
static bool connects_in_halves(const struct flexsc_frame *frame, const struct socket *sock)
{
	const struct sock *sk = sock->sk;

	return frame->lane == FLEXSC_LANE_T && is_plain_tcp(sk) &&
	       !inet_test_bit(DEFER_CONNECT, sk) &&
	       READ_ONCE(sock->ops)->connect == inet_stream_connect &&
	       !(sock->file->f_flags & O_NONBLOCK) &&
	       READ_ONCE(sk->sk_sndtimeo) == MAX_SCHEDULE_TIMEOUT;
}

/* In frame->note, beside sk_disconnects. */
#define CONNECT_BEGUN	BIT_ULL(32)

/*
 * inet_stream_connect() up to where it waits, or, without an address, from there on. Who
 * made it unconnected meanwhile is told by sk_disconnects. Return: a verdict.
 */
static int connect_half(struct flexsc_frame *frame, struct socket *sock,
			struct sockaddr_storage *address, int len)
{
	bool block = frame->flags & FLEXSC_FRAME_BLOCK;
	struct sock *sk = sock->sk;
	bool waits;
	int rc;

	lock_sock(sk);
	if (!address) {
		if (FLEXSC_MUTANT(disconnects))
			frame->note = (u32)sk->sk_disconnects;
		if (sk->sk_disconnects != (int)frame->note) {
			rc = flexsc_done(frame, -EPIPE);
			goto out;
		}
		/*
		 * After its wait the real call looks at sk_state alone, also when another
		 * connect has found it connected, or a shutdown has undone it.
		 */
		if (sock->state == SS_CONNECTED ||
		    !((1 << sk->sk_state) & (TCPF_SYN_SENT | TCPF_SYN_RECV)))
			sock->state = SS_CONNECTING;
	}
	rc = __inet_stream_connect(sock, (struct sockaddr_unsized *)address, len,
				   block ? 0 : O_NONBLOCK, 0);
	waits = (rc == -EINPROGRESS || rc == -EALREADY) &&
		(1 << sk->sk_state) & (TCPF_SYN_SENT | TCPF_SYN_RECV);
	frame->note = CONNECT_BEGUN | (u32)sk->sk_disconnects;
	frame->events = (__force u32)(EPOLLOUT | EPOLLWRNORM);
	rc = waits && !block ? FLEXSC_WAIT : flexsc_done(frame, rc);
out:
	release_sock(sk);
	return rc;
}

static int connect_file(struct flexsc_frame *frame, struct file *file)
{
	const void __user *uaddr = u64_to_user_ptr(frame->args[1]);
	struct sockaddr_storage address;
	int len = frame->args[2];
	struct socket *sock;
	struct flexsc_fs fs;
	int rc;

	if (frame->file)
		return connect_half(frame, sock_from_file(file), NULL, 0);
	if (flexsc_landlocked(file->f_path.dentry->d_sb))
		return FLEXSC_HAND_BACK;
	/* Unlike bind, connect reads the address before it asks for a socket. */
	rc = flexsc_address_in(&address, uaddr, len);
	if (rc)
		return flexsc_done(frame, rc);
	sock = sock_from_file(file);
	if (!sock)
		return flexsc_done(frame, -ENOTSOCK);
	if (flexsc_socket_waits(frame, sock))
		return FLEXSC_TO_T;
	if (connects_in_halves(frame, sock))
		return connect_half(frame, sock, &address, len);
	rc = flexsc_fs_enter(&fs, frame);
	if (rc)
		return rc;
	rc = READ_ONCE(sock->ops)->connect(sock, (struct sockaddr_unsized *)&address, len,
					   file->f_flags);
	flexsc_fs_leave(&fs);
	return flexsc_done(frame, rc);
}

int flexsc_call_connect(struct flexsc_frame *frame)
{
	struct file *file;
	int rc;

	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	/* One that has begun is not handed back any more. */
	rc = frame->file ? 0 : flexsc_gated(frame, GATE_SOCKET | FLEXSC_GATE_NNP);
	rc = rc ?: flexsc_file_get_again(frame, &file);
	if (rc)
		return flexsc_stop(frame, rc);
	rc = connect_file(frame, file);
	flexsc_file_release(frame, file, rc);
	return rc;
}

static int listen_socket(struct flexsc_frame *frame, struct socket *sock)
{
	int most = READ_ONCE(sock_net(sock->sk)->core.sysctl_somaxconn);
	int backlog = frame->args[1];

	if ((unsigned int)backlog > most)
		backlog = most;
	return flexsc_done(frame, READ_ONCE(sock->ops)->listen(sock, backlog));
}

int flexsc_call_listen(struct flexsc_frame *frame)
{
	return flexsc_gated(frame, GATE_SOCKET) ?: flexsc_on_socket(frame, listen_socket);
}

static int shutdown_socket(struct flexsc_frame *frame, struct socket *sock)
{
	int how = frame->args[1];

	return flexsc_done(frame, READ_ONCE(sock->ops)->shutdown(sock, how));
}

int flexsc_call_shutdown(struct flexsc_frame *frame)
{
	return flexsc_gated(frame, GATE_SOCKET) ?: flexsc_on_socket(frame, shutdown_socket);
}

/* do_accept(): a file with the next connection, or an ERR_PTR. */
static struct file *accept_file(struct flexsc_frame *frame, struct socket *sock, int flags,
				bool attempt)
{
	void __user *uaddr = u64_to_user_ptr(frame->args[1]);
	int __user *ulen = u64_to_user_ptr(frame->args[2]);
	const struct proto_ops *ops = READ_ONCE(sock->ops);
	struct proto_accept_arg arg = { };
	struct sockaddr_storage address;
	struct socket *newsock;
	struct file *file;
	int rc;

	newsock = sock_alloc();
	if (!newsock)
		return ERR_PTR(-ENFILE);
	newsock->type = sock->type;
	newsock->ops = ops;
	/* The listening socket holds the module, so it is there. */
	__module_get(ops->owner);
	file = sock_alloc_file(newsock, flags, sock->sk->sk_prot_creator->name);
	if (IS_ERR(file))
		return file;

	arg.flags = sock->file->f_flags | (attempt ? O_NONBLOCK : 0);
	rc = ops->accept(sock, newsock, &arg);
	if (rc >= 0 && uaddr) {
		rc = ops->getname(newsock, (struct sockaddr *)&address, 2);
		rc = rc < 0 ? -ECONNABORTED : flexsc_address_out(&address, rc, uaddr, ulen);
	}
	if (rc >= 0)
		return file;
	flexsc_file_put(file);
	return ERR_PTR(rc);
}

static int accept_on(struct flexsc_frame *frame, struct file *listener)
{
	int flags = frame->args[3];
	bool attempt = false;
	struct socket *sock;
	struct file *file;
	int fd;

	if (flags & ~TYPE_FLAGS)
		return flexsc_done(frame, -EINVAL);
	sock = sock_from_file(listener);
	if (sock && (frame->file || !(listener->f_flags & O_NONBLOCK))) {
		attempt = !(frame->flags & FLEXSC_FRAME_BLOCK) &&
			  (flexsc_socket_lanes(frame, sock, READ) & frame->lane);
		if (!attempt && flexsc_socket_waits(frame, sock))
			return FLEXSC_TO_T;
	}
	fd = flexsc_fd_reserve(frame, flags);
	if (fd < 0)
		return flexsc_done(frame, fd);
	file = sock ? accept_file(frame, sock, flags, attempt) : ERR_PTR(-ENOTSOCK);
	if (attempt && file == ERR_PTR(-EAGAIN)) {
		flexsc_fd_cancel(frame, fd);
		return flexsc_socket_wait_to_read(frame);
	}
	return flexsc_fd_install(frame, fd, file);
}

int flexsc_call_accept4(struct flexsc_frame *frame)
{
	struct file *file;
	int rc;

	if (frame->lane == FLEXSC_LANE_W)
		return FLEXSC_TO_T;
	rc = flexsc_gated(frame, GATE_SOCKET) ?:
	     flexsc_file_get_again(frame, &file);
	if (rc)
		return flexsc_stop(frame, rc);
	rc = accept_on(frame, file);
	flexsc_file_release(frame, file, rc);
	return rc;
}

/* Some options make descriptors, take them, or tell pids: never in W. */
static int read_option(struct flexsc_frame *frame, struct socket *sock)
{
	int level = frame->args[1], name = frame->args[2];
	sockptr_t value = USER_SOCKPTR(u64_to_user_ptr(frame->args[3]));
	sockptr_t len = USER_SOCKPTR(u64_to_user_ptr(frame->args[4]));

	return flexsc_done(frame, do_sock_getsockopt(sock, false, level, name, value, len));
}

static int write_option(struct flexsc_frame *frame, struct socket *sock)
{
	int level = frame->args[1], name = frame->args[2], len = frame->args[4];
	sockptr_t value = USER_SOCKPTR(u64_to_user_ptr(frame->args[3]));

	return flexsc_done(frame, do_sock_setsockopt(sock, false, level, name, value, len));
}

int flexsc_call_getsockopt(struct flexsc_frame *frame)
{
	return flexsc_on_socket(frame, read_option);
}

int flexsc_call_setsockopt(struct flexsc_frame *frame)
{
	return flexsc_on_socket(frame, write_option);
}

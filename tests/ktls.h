/* The kernel's TLS for programs whose kernel has none: what is sent, as <linux/tls.h> and net/tls have it, by OpenSSL. Behind the
 * implementation, built with VTHTTP_SIM=1. What does not fit in a socket is waited for. */
#ifndef VT_KTLS_H
#define VT_KTLS_H
#include <openssl/evp.h>
#include <poll.h>

static struct ktls {
    bool ulp, on;
    uint16_t version, cipher;
    unsigned char iv[12], key[32], seq[8]; /* iv: salt first */
} ktls[4096];
static struct {
    int lacks, no_ulp, no_tx;   /* errors: at start-up, of a connection, of its keys */
    int no_room, short_control; /* a handshake's flight does not go out; half of a control record does */
    int asked, taken, files;    /* connections; calls of sendfile */
    int records[256], calls;
} fk;
static int fk_count(int *n) { return __atomic_add_fetch(n, 1, __ATOMIC_SEQ_CST); }
static int fk_seen(const int *n) { return __atomic_load_n(n, __ATOMIC_SEQ_CST); }

static int fk_keys(struct ktls *k, const unsigned char *p, socklen_t n) {
    size_t key = n == 40 ? 16 : 32;
    memcpy(&k->version, p, 2), memcpy(&k->cipher, p + 2, 2);
    if (n != (k->cipher == 51 ? 40 : 56)) return -EINVAL;
    if (k->cipher == 54) { /* ChaCha20-Poly1305: iv, key, sequence number */
        memcpy(k->iv, p + 4, 12), memcpy(k->key, p + 16, 32), memcpy(k->seq, p + 48, 8);
    } else { /* AES-GCM: iv, key, salt, sequence number */
        memcpy(k->iv + 4, p + 4, 8), memcpy(k->key, p + 12, key);
        memcpy(k->iv, p + 12 + key, 4), memcpy(k->seq, p + 16 + key, 8);
    }
    fk_count(&fk.taken);
    k->on = true;
    return 0;
}
static int fk_setsockopt(int fd, int level, int opt, const void *p, socklen_t n) {
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    if (level == IPPROTO_TCP && opt == 31) {
        bool connected = getpeername(fd, (struct sockaddr *)&sa, &len) == 0;
        if (connected) fk_count(&fk.asked);
        if (fk.lacks || !connected) return fk.lacks ? fk.lacks : -ENOTCONN;
        ktls[fd].ulp = !fk.no_ulp;
        return fk.no_ulp;
    }
    if (level != 282) return vt__plat_sys_setsockopt(fd, level, opt, p, n);
    if (opt != 1 || !ktls[fd].ulp) return -ENOPROTOOPT;
    return fk.no_tx ? fk.no_tx : fk_keys(&ktls[fd], p, n);
}
static void fk_advance(unsigned char *p) {
    for (int i = 8; i-- > 0 && ++p[i] == 0;) continue;
}
static void fk_push(int fd, const unsigned char *p, size_t n) {
    while (n > 0) {
        ssize_t r = send(fd, p, n, MSG_NOSIGNAL);
        struct pollfd w = {.fd = fd, .events = POLLOUT};
        if (r > 0) p += r, n -= (size_t)r;
        else if (errno != EAGAIN || poll(&w, 1, 20000) <= 0) return; /* the next call says why */
    }
}
/* One record. */
static void fk_record(int fd, int type, const void *data, size_t n) {
    struct ktls *k = &ktls[fd];
    bool new = k->version == 0x0304, explicit = !new && k->cipher != 54;
    unsigned char out[17000], nonce[12], in[16400], aad[13];
    size_t inner = n + new, body = inner + 16 + (explicit ? 8 : 0);
    unsigned char head[5] = {new ? 23 : (unsigned char)type, 3, 3, (unsigned char)(body >> 8),
                             (unsigned char)body};
    int len = 0, at = explicit ? 13 : 5;
    memcpy(in, data, n), in[n] = (unsigned char)type;
    memcpy(out, head, 5), memcpy(nonce, k->iv, 12);
    if (explicit) memcpy(out + 5, k->iv + 4, 8);
    else
        for (int i = 0; i < 8; i++) nonce[4 + i] ^= k->seq[i];
    memcpy(aad, k->seq, 8), memcpy(aad + 8, head, 3), aad[11] = (unsigned char)(n >> 8),
                                                      aad[12] = (unsigned char)n;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    EVP_EncryptInit_ex(c,
                       k->cipher == 51   ? EVP_aes_128_gcm()
                       : k->cipher == 52 ? EVP_aes_256_gcm()
                                         : EVP_chacha20_poly1305(),
                       NULL, k->key, nonce);
    EVP_EncryptUpdate(c, NULL, &len, new ? head : aad, new ? 5 : 13);
    EVP_EncryptUpdate(c, out + at, &len, in, (int)inner);
    EVP_EncryptFinal_ex(c, out + at + len, &len);
    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, out + at + inner);
    EVP_CIPHER_CTX_free(c);
    fk_advance(k->seq);
    if (explicit) fk_advance(k->iv + 4);
    fk_count(&fk.records[type]);
    fk_push(fd, out, 5 + body);
}
/* Now and then there is no room, and then there is. */
static bool fk_is_full(void) { return fk_count(&fk.calls) % 3 == 0; }
static ssize_t fk_send(int fd, const void *p, size_t n, int flags) {
    if (!ktls[fd].on) return fk.no_room ? -EAGAIN : vt__plat_sys_send(fd, p, n, flags);
    if (fk_is_full()) return -EAGAIN;
    fk_record(fd, 23, p, n = VT__MIN(n, 5000));
    return (ssize_t)n;
}
static ssize_t fk_sendmsg(int fd, const struct msghdr *m, int flags) {
    char all[16384];
    size_t n = 0;
    if (!ktls[fd].on) return vt__plat_sys_sendmsg(fd, m, flags);
    if (fk_is_full()) return -EAGAIN;
    for (size_t i = 0; i < (size_t)m->msg_iovlen; i++) {
        size_t k = VT__MIN(m->msg_iov[i].iov_len, sizeof all - n);
        if (k) memcpy(all + n, m->msg_iov[i].iov_base, k);
        n += k;
    }
    const struct cmsghdr *head = CMSG_FIRSTHDR(m);
    if (!head) return fk_record(fd, 23, all, n), (ssize_t)n;
    if (head->cmsg_level != 282 || head->cmsg_type != 1 || head->cmsg_len != CMSG_LEN(1)) return -EINVAL;
    if (fk.short_control) return (ssize_t)n / 2;
    fk_record(fd, *CMSG_DATA(head), all, n);
    return (ssize_t)n;
}
static ssize_t fk_sendfile(int to, int fd, int64_t off, size_t n) {
    char piece[9000];
    if (!ktls[to].on) return vt__plat_sys_sendfile(to, fd, off, n);
    if (fk_is_full()) return -EAGAIN;
    ssize_t r = pread(fd, piece, VT__MIN(n, sizeof piece), off);
    fk_count(&fk.files);
    if (r > 0) fk_record(to, 23, piece, (size_t)r);
    return r < 0 ? -errno : r;
}
static int fk_close(int fd) {
    if (fd >= 0) memset(&ktls[fd], 0, sizeof *ktls);
    return vt__plat_sys_close(fd);
}
__attribute__((constructor)) static void fk_begin(void) {
    vt__plat.setsockopt = fk_setsockopt;
    vt__plat.send = fk_send;
    vt__plat.sendmsg = fk_sendmsg;
    vt__plat.sendfile = fk_sendfile;
    vt__plat.close = fk_close;
}
#endif

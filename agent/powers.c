// SPDX-License-Identifier: MIT
/*
 * The powers are made by the compiler: a table of 2n is that of n, and that of n times x^n. X1 is x, X2 its
 * square, and so on.
 */
#include "agent/powers.h"

#include "agent/walk_state.h"

#define POWERS_1(p)      (p)
#define POWERS_2(p, X)   POWERS_1(p), POWERS_1((p)*X##1)
#define POWERS_4(p, X)   POWERS_2(p, X), POWERS_2((p)*X##2, X)
#define POWERS_8(p, X)   POWERS_4(p, X), POWERS_4((p)*X##4, X)
#define POWERS_16(p, X)  POWERS_8(p, X), POWERS_8((p)*X##8, X)
#define POWERS_32(p, X)  POWERS_16(p, X), POWERS_16((p)*X##16, X)
#define POWERS_64(p, X)  POWERS_32(p, X), POWERS_32((p)*X##32, X)
#define POWERS_128(p, X) POWERS_64(p, X), POWERS_64((p)*X##64, X)
#define POWERS_256(p, X) POWERS_128(p, X), POWERS_128((p)*X##128, X)
#define POWERS_TO_256(X)                                                                           \
	{                                                                                          \
		POWERS_256(1ULL, X), X##128 * X##128                                               \
	}

#define POWER_1     0xd1342543de82ef95ULL
#define POWER_2     0xb1b9d47c9f8b8cb9ULL
#define POWER_4     0x49136017ec40ddb1ULL
#define POWER_8     0xce3a3efbf07b1461ULL
#define POWER_16    0x6913f39876d54cc1ULL
#define POWER_32    0xfad0dfaabc2d2981ULL
#define POWER_64    0x8a3c3a4116149301ULL
#define POWER_128   0x876ea56d78922601ULL
#define INVERSE_1   0x572b5ee77a54e3bdULL
#define INVERSE_2   0x4e64d04c62a0b989ULL
#define INVERSE_4   0x51f43c4d55b74b51ULL
#define INVERSE_8   0x6cac81fa8df68fa1ULL
#define INVERSE_16  0xe9625023b4014341ULL
#define INVERSE_32  0x50b6ca5b002d1681ULL
#define INVERSE_64  0xe6fd9ba6eb546d01ULL
#define INVERSE_128 0x85caaf438d11da01ULL

_Static_assert(POWER_1 == HASH_K && POWER_1 * INVERSE_1 == 1, "K and its inverse");
_Static_assert(POWER_128 *INVERSE_128 == 1 && POWER_64 * POWER_64 == POWER_128, "their powers");
_Static_assert(CHANNEL_DEPTH_MAX == 256, "as many as a stack may have frames");

const uint64_t agent_powers[] = POWERS_TO_256(POWER_);
const uint64_t agent_inverses[] = POWERS_TO_256(INVERSE_);


/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Names of system calls.
 */


#ifndef _PRT_CALL_H_INCLUDED_
#define _PRT_CALL_H_INCLUDED_


/* NULL: none that threads are known to sleep in. */
const char *prt_call_name(long number);


#endif /* _PRT_CALL_H_INCLUDED_ */

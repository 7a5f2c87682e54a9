
/*
 * Copyright (C) the maintainers of nginx pprof
 *
 * Hooks: calls of a function that go from one object to another lead to us.
 */


#ifndef _PRT_HOOK_H_INCLUDED_
#define _PRT_HOOK_H_INCLUDED_


#include "platform/prt_object.h"


typedef struct {
    const char            *name;
    void                  *replacement;
    void                 **original;      /* filled before the first call */
} prt_hook_t;


/*
 * Adds hooks, which have to stay where they are, and installs them in all
 * loaded objects but our own, the loader, the vDSO and libunwind.  A function
 * that no object has gets no hook, and its original is NULL.  An object has one
 * hook for a name: the one that was added first.  Returns the number of entries changed, or -1 without memory.
 *
 * None of these functions is signal-safe; any thread may call them.
 */
int prt_hooks_install(const prt_hook_t *hooks, unsigned n);

/* The same in the main program alone, or in all objects but that. */
int prt_hooks_install_main(const prt_hook_t *hooks, unsigned n);
int prt_hooks_install_outside(const prt_hook_t *hooks, unsigned n);

/*
 * Brings the map of objects up to date, and the hooks into objects that
 * appeared.  Cheap when nothing changed.  Returns as above.
 */
int prt_hooks_refresh(void);

/* Takes all hooks out again.  Calls that are under way still come back. */
void prt_hooks_remove(void);

/*
 * Sets the entries of one object for one name to "to", those that lead to
 * "from" only unless it is NULL.  Returns how many.
 */
int prt_hook_object(const prt_object_t *object, const char *name, void *from,
    void *to);


#endif /* _PRT_HOOK_H_INCLUDED_ */

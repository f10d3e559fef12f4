export interface TreeMember {
  id: string;
  name: string;
  origin: string;
  parentId: string | null;
  lineageId: string;
  generation: number;
  state: string;
  ego: number;
}

/** Lineages as trees, one line a member; children stand under their parent in the order of their ids. */
export function lineageTree<Member extends TreeMember>(
  members: readonly Member[],
  tell: (member: Member) => string,
): string[] {
  const children = Map.groupBy(members, (member) => member.parentId);
  const known = new Set(members.map((member) => member.id));
  const roots = members.filter((member) => member.parentId === null || !known.has(member.parentId));
  return roots.flatMap((root) => drawn(root, '', ''));

  function drawn(member: Member, branch: string, indent: string): string[] {
    const own = children.get(member.id) ?? [];
    return [
      `${branch}${tell(member)}`,
      ...own.flatMap((child, i) => {
        const last = i === own.length - 1;
        return drawn(child, `${indent}${last ? '└ ' : '├ '}`, `${indent}${last ? '  ' : '│ '}`);
      }),
    ];
  }
}

/** Files that are dragged onto a part of the page: it shows that it would take them. */
export function onFilesDropped(element: HTMLElement, take: (data: DataTransfer) => void): void {
  const hasFiles = ({ dataTransfer }: DragEvent): boolean => dataTransfer?.types.includes('Files') ?? false;
  element.addEventListener('dragover', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    element.classList.add('dropping');
  });
  element.addEventListener('dragleave', (event) => {
    if (!element.contains(event.relatedTarget as Node | null)) element.classList.remove('dropping');
  });
  element.addEventListener('drop', (event) => {
    element.classList.remove('dropping');
    if (!event.dataTransfer || !hasFiles(event)) return;
    event.preventDefault();
    take(event.dataTransfer);
  });
}
